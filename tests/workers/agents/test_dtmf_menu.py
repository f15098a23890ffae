from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from common.audio import AudioFormat
from common.commands import Answer, ClearPlayback, Command, HangUp, PlayAudio, SetMark
from common.errors import UsageError
from common.events import AudioReceived, CallStarted, DtmfReceived, MarkOutcome, MarkReached
from tests.workers.calls import FakeRuntime
from workers.agents import dtmf_menu
from workers.agents.dtmf_menu import AGENT, DtmfMenu
from workers.audio import codecs
from workers.audio.dtmf_tones import dtmf_tones
from workers.audio.sound import Sound
from workers.running.scene import Scene
from workers.voice.menu import Menu, Node

PCMU = AudioFormat.pcmu()
STARTED = CallStarted("twilio", PCMU)
MENU = Menu(
    {
        "main": Node(keys={"1": "sales", "12#": "vault", "3": "end", "*": "main"}),
        "sales": Node(keys={"*": "main"}),
        "vault": Node(keys={}),
        "end": Node(hang_up=True),
    },
    between_keys_s=2.0,
    patience_s=5.0,
)


class House(DtmfMenu):
    menu = MENU
    prompts = {
        name: Sound(np.full(80, level * 100, np.int16), 8000)
        for level, name in enumerate(MENU.nodes, start=1)
    }


def prompt(name: str) -> PlayAudio:
    return PlayAudio(codecs.encode(House.prompts[name].pcm, PCMU))


def entered(name: str) -> list[Command]:
    return [prompt(name), SetMark(name)]


class Caller:
    def __init__(self, stored: bytes = b"", *, started: CallStarted = STARTED) -> None:
        self.runtime = FakeRuntime()
        self.scene = Scene(House, "c1", started, self.runtime, stored)
        self.frames = 0
        self.marks: list[str] = []

    async def start(self) -> list[Command]:
        await self.scene.handle(STARTED)
        return self.commands()

    async def press(self, keys: str) -> list[Command]:
        for key in keys:
            await self.scene.handle(DtmfReceived(key))
        return self.commands()

    async def hear(self, name: str, outcome: MarkOutcome = MarkOutcome.PLAYED) -> list[Command]:
        """The end of the latest mark of this node, or of a mark of just this name."""
        of_node = [mark for mark in self.marks if _node(mark) == name]
        await self.scene.handle(MarkReached(of_node[-1] if of_node else name, outcome))
        return self.commands()

    async def wait(self, seconds: float, payload: bytes = b"\xff" * 160) -> list[Command]:
        for _ in range(round(seconds * 50)):
            await self.scene.handle(AudioReceived(payload, 20 * self.frames, self.frames + 1))
            self.frames += 1
        return self.commands()

    def commands(self) -> list[Command]:
        """What was asked for; marks by their node."""
        commands, self.runtime.commands = self.runtime.commands, []
        marks = [command.name for command in commands if isinstance(command, SetMark)]
        assert not set(marks) & set(self.marks)
        self.marks += marks
        return [SetMark(_node(c.name)) if isinstance(c, SetMark) else c for c in commands]


def _node(mark: str) -> str:
    return mark.rpartition("-")[0]


@pytest.fixture
async def caller() -> Caller:
    """Who hears the first prompt."""
    caller = Caller()
    assert await caller.start() == [Answer(), *entered("main")]
    return caller


async def test_a_key_interrupts_its_prompt(caller: Caller) -> None:
    assert await caller.press("3") == [ClearPlayback(), *entered("end"), HangUp()]


async def test_after_a_prompt_there_is_nothing_to_interrupt(caller: Caller) -> None:
    await caller.hear("main")
    assert await caller.press("*") == entered("main")


async def test_keys_that_lead_one_way_only_lead_there_at_once(caller: Caller) -> None:
    assert await caller.press("1") == [ClearPlayback()]
    assert await caller.press("2") == []
    assert await caller.press("#") == entered("vault")


async def test_keys_that_may_go_on_are_waited_for(caller: Caller) -> None:
    await caller.press("1")
    assert await caller.wait(1.9) == []
    assert await caller.wait(0.3) == entered("sales")


async def test_each_key_is_waited_for_anew(caller: Caller) -> None:
    await caller.press("1")
    assert await caller.wait(1.9) == []
    await caller.press("2")
    assert await caller.wait(1.9) == []
    assert await caller.press("#") == entered("vault")
    assert await caller.wait(4.0) == []


async def test_keys_that_lead_nowhere_bring_the_prompt_back(caller: Caller) -> None:
    assert await caller.press("9") == [ClearPlayback(), *entered("main")]
    assert await caller.press("12") == [ClearPlayback()]
    assert await caller.wait(2.2) == entered("main")


async def test_who_never_chooses_is_hung_up_on(caller: Caller) -> None:
    for _ in range(2):
        await caller.hear("main")
        assert await caller.wait(4.9) == []
        assert await caller.wait(0.3) == entered("main")
    await caller.hear("main")
    assert await caller.wait(5.2) == [HangUp(detail="no choice was made")]
    assert await caller.wait(10) == []


async def test_a_choice_makes_up_for_failures(caller: Caller) -> None:
    await caller.press("99")
    await caller.press("*99*")
    assert HangUp not in {type(command) for command in await caller.press("*")}


async def test_patience_begins_when_the_prompt_was_heard(caller: Caller) -> None:
    assert await caller.wait(20) == []
    await caller.hear("main", MarkOutcome.CLEARED)
    assert await caller.wait(20) == []
    await caller.hear("some other mark")
    assert await caller.wait(20) == []


async def test_a_prompt_that_was_just_over_is_not_taken_for_the_one_that_is_said_now(
    caller: Caller,
) -> None:
    """It was heard to its end, but the news of that are behind the key."""
    await caller.press("9")
    late, now = caller.marks
    await caller.scene.handle(MarkReached(late))
    assert await caller.wait(6) == []
    assert await caller.press("3") == [ClearPlayback(), *entered("end"), HangUp()]
    assert late != now


async def test_at_the_end_keys_mean_nothing_any_more(caller: Caller) -> None:
    await caller.press("3")
    assert await caller.press("1*3") == []


async def test_the_next_owner_waits_no_longer(caller: Caller) -> None:
    await caller.press("1")
    await caller.wait(1.0)
    after = Caller(caller.scene.state() or b"")
    after.frames = caller.frames
    assert await after.wait(0.9) == []
    assert await after.wait(0.3) == entered("sales")


async def test_keys_are_heard_where_the_provider_reports_none() -> None:
    keyless = CallStarted("mesmer", PCMU, reports_dtmf=False)
    caller = Caller(started=keyless)
    await caller.start()
    tones = codecs.encode(dtmf_tones("12#", 8000), PCMU)
    commands = []
    for start in range(0, len(tones), 160):
        commands += await caller.wait(0.02, tones[start : start + 160])
    assert commands == [ClearPlayback(), *entered("vault")]


async def test_a_state_of_another_menu_begins_at_the_start() -> None:
    caller = Caller(b"\x81\xa4node\xa4gone")  # {"node": "gone"}
    assert await caller.press("3") == [*entered("end"), HangUp()]


def test_by_default_it_is_a_demo_that_can_be_walked_through() -> None:
    assert AGENT.menu.start in AGENT.menu.nodes
    assert all(to in AGENT.menu.nodes for n in AGENT.menu.nodes.values() for to in n.keys.values())
    assert AGENT.detect_dtmf


def test_its_prompts_are_made_before_the_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "menu.toml"
    file.write_text("[nodes.main]\nplay = 'nowhere.wav'\n")
    monkeypatch.setenv("TRUNKLINE_MENU_FILE", str(file))
    monkeypatch.setenv("TRUNKLINE_MENU_VOICE", "de")
    agent = dtmf_menu._configured()
    assert (agent.voice, agent.directory, list(agent.menu.nodes)) == ("de", tmp_path, ["main"])
    with pytest.raises(UsageError, match=r"menu: prompt main: .*nowhere\.wav"):
        agent.prepare()


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("TRUNKLINE_MENU_FILE", "/nowhere/menu.toml", "menu /nowhere/menu.toml: No such file"),
        ("TRUNKLINE_MENU_VOICE", "-x y", "TRUNKLINE_MENU_VOICE: expected str matching regex"),
    ],
)
def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=fault):
        dtmf_menu._configured()


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_the_demo_can_be_spoken() -> None:
    class Demo(DtmfMenu):
        pass

    Demo.prepare()
    assert set(Demo.prompts) == set(Demo.menu.nodes)
    assert all(prompt.duration_ms > 300 for prompt in Demo.prompts.values())
