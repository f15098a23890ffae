"""A menu of prompts and keys, read from a file (`workers/voice/menu.py`); a key stops its prompt.

Keys are collected until only one way is left, or none comes any more. Time is counted by the
caller's audio, so a new owner waits no longer than the one before would have.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from common.events import DtmfReceived, MarkOutcome, MarkReached
from common.settings import load
from workers.agent import Agent
from workers.audio.sound import HeardAudio, Sound
from workers.call import Call
from workers.voice.menu import Menu, Node, load_menu, render

__all__ = ["AGENT", "OPTIONS", "PREFIX", "DtmfMenu"]

_log = logging.getLogger(__name__)

_MAX_FAILURES = 3

_DEMO = Menu(
    {
        "main": Node(
            "Welcome. For the opening hours, press 1. For the weather, press 2. "
            "To hear this again, press star. To hang up, press pound.",
            keys={"1": "hours", "2": "weather", "*": "main", "#": "goodbye"},
        ),
        "hours": Node(
            "We are open from nine to five. Press star to go back.",
            keys={"*": "main", "#": "goodbye"},
        ),
        "weather": Node(
            "It will rain, except where it does not. Press star to go back.",
            keys={"*": "main", "#": "goodbye"},
        ),
        "goodbye": Node("Goodbye.", hang_up=True),
    }
)


class MenuOptions(msgspec.Struct, frozen=True):
    file: Annotated[str, Meta(description="a menu as TOML; empty: a small demo")] = ""
    voice: Annotated[
        str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9+_-]{0,63}$", description="of espeak-ng")
    ] = "en-us"


OPTIONS = MenuOptions
PREFIX = "TRUNKLINE_MENU_"


class DtmfMenu(Agent):
    detect_dtmf = True

    menu: ClassVar[Menu] = _DEMO
    directory: ClassVar[Path] = Path()
    voice: ClassVar[str] = "en-us"
    prompts: ClassVar[dict[str, Sound]] = {}

    class State(msgspec.Struct):
        node: str = ""
        typed: str = ""
        failures: int = 0
        is_prompting: bool = False
        #: How often a node was entered, the same or another: the mark of one time may still come
        #: back when the next prompt is being said.
        entered: int = 0
        #: What to wait for, from the next frame on; then until when. 0: nothing.
        wait_ms: int = 0
        until_ms: int = 0

    @classmethod
    def prepare(cls) -> None:
        cls.prompts = render(cls.menu, cls.directory, voice=cls.voice)

    async def on_start(self, call: Call) -> None:
        await call.answer()
        await self._enter(call, self.menu.start)

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        state = call.state
        if self._node(call).hang_up:
            return
        if state.is_prompting:
            state.is_prompting = False
            await call.clear()
        state.typed += dtmf.digit
        ways = [keys for keys in self._node(call).keys if keys.startswith(state.typed)]
        if len(ways) > 1 or (ways and ways != [state.typed]):
            self._wait(call, self.menu.between_keys_s)
        else:
            await self._choose(call)

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        state = call.state
        if state.wait_ms:
            state.until_ms, state.wait_ms = audio.offset_ms + state.wait_ms, 0
        elif state.until_ms and audio.offset_ms >= state.until_ms:
            await self._choose(call)

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        state = call.state
        is_current = mark.name == _mark(state)
        if state.is_prompting and is_current and mark.outcome is MarkOutcome.PLAYED:
            state.is_prompting = False
            self._wait(call, self.menu.patience_s)

    async def _choose(self, call: Call) -> None:
        """Go where the keys lead; a prompt that leads nowhere is said again, but not for ever."""
        state = call.state
        target = self._node(call).keys.get(state.typed)
        if target is not None:
            state.failures = 0
            await self._enter(call, target)
            return
        state.failures += 1
        if state.failures == _MAX_FAILURES:
            state.until_ms = state.wait_ms = 0
            await call.hang_up("no choice was made")
        elif state.failures < _MAX_FAILURES:
            await self._enter(call, state.node)

    async def _enter(self, call: Call, name: str) -> None:
        _log.info("menu", extra={"call": call.id, "node": name})  # keys may be secrets
        state = call.state
        state.node, state.typed, state.is_prompting = name, "", True
        state.wait_ms = state.until_ms = 0
        state.entered += 1
        prompt = self.prompts.get(name)
        if prompt is not None:
            await call.play(prompt)
        await call.mark(_mark(state))
        if self._node(call).hang_up:
            await call.hang_up()

    def _wait(self, call: Call, seconds: float) -> None:
        call.state.wait_ms, call.state.until_ms = round(seconds * 1000), 0

    def _node(self, call: Call) -> Node:
        return self.menu.nodes.get(call.state.node) or self.menu.nodes[self.menu.start]


def _mark(state: DtmfMenu.State) -> str:
    return f"{state.node}-{state.entered}"


def _configured() -> type[DtmfMenu]:
    options = load(OPTIONS, os.environ, prefix=PREFIX)
    file = Path(options.file)
    members: dict[str, Any] = {"voice": options.voice}
    if options.file:
        members |= {"menu": load_menu(file), "directory": file.parent}
    return type("DtmfMenu", (DtmfMenu,), members)


AGENT = _configured()
