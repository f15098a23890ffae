"""The agent and its call, put together: which handler an event goes to.

Rule 1: all that one frame leads to is handled within the one step of the call that it began.
Rule 2: the state of a call is the agent's own, in msgpack. What hearing and speaking must remember
        as well goes before it, behind a byte with which no msgpack begins.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from common.errors import AgentError, WireError
from common.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    DtmfReceived,
    Event,
    MarkReached,
    ProviderFailed,
)
from common.wire import decode_event
from workers.agent import Agent
from workers.audio.sound import HeardAudio
from workers.call import Call, CallRuntime
from workers.running.hearing import Heard, Hearing
from workers.running.memory import Memory
from workers.voice.speaking import Speaking
from workers.voice.speech import SpeechStarted, SpeechStopped

__all__ = ["Scene", "read_start"]

#: The one byte that msgpack never uses.
_REMEMBERS = b"\xc1"

_NOTHING = Memory()

_WAY_OUT = "an agent that plays nothing but encoded bytes goes on with needs_encoder = False"


class Scene:
    """`stored` is what `state` gave to the owner before, empty when there was none. Raises
    AgentError where another version's does not fit. Whatever the agent's own code raises, here or
    in `handle`, comes through."""

    def __init__(
        self,
        agent: type[Agent],
        call_id: str,
        started: CallStarted,
        runtime: CallRuntime,
        stored: bytes,
    ) -> None:
        self._memory, own = _split(stored)
        self._remembers = self._memory != _NOTHING
        self._hearing = Hearing(agent, started, self._memory)
        self._speaking = Speaking(
            started.play_format or started.format,
            heard=self._hearing.decoder,
            rate_hz=None if agent.listen is None else agent.listen.rate_hz,
            waiting=self._memory.waiting,
        )
        self.agent = agent()
        self.call = Call(call_id, started, runtime, _state(agent, own), self._speaking)

    def state(self) -> bytes | None:
        """What the next owner needs; None when there is nothing to remember."""
        own = b"" if self.agent.State is None else msgspec.msgpack.encode(self.call.state)
        self._memory.waiting = self._speaking.waiting
        # From the first time on, so that nothing is remembered that is over.
        self._remembers = self._remembers or self._memory != _NOTHING
        if not self._remembers:
            return own or None
        return _REMEMBERS + msgspec.msgpack.encode((self._memory, own))

    def check(self) -> None:
        """Raises AgentError when the agent cannot be given what it listens to, or what it plays
        cannot be encoded for this call."""
        self._hearing.check()
        if self.agent.needs_encoder:
            try:
                self._speaking.check()
            except AgentError as error:
                raise AgentError(f"{error}; {_WAY_OUT}") from None

    async def resume(self) -> None:
        """Another owner ran the call before."""
        await self.agent.on_resumed(self.call)

    async def handle(self, event: Event) -> None:
        agent, call = self.agent, self.call
        match event:
            case CallStarted():
                await agent.on_start(call)
            case AudioReceived(track=track) if track in agent.tracks:
                for heard in self._hearing.hear(event):
                    await self._hear(heard)
            case DtmfReceived():
                await agent.on_dtmf(call, event)
            case MarkReached():
                await agent.on_mark(call, event)
            case ProviderFailed():
                await agent.on_error(call, event)
            case CallEnded():
                await agent.on_stop(call, event)

    def _hear(self, heard: Heard) -> Awaitable[None]:
        match heard:
            case HeardAudio():
                return self.agent.on_audio(self.call, heard)
            case DtmfReceived():
                return self.agent.on_dtmf(self.call, heard)
            case SpeechStarted():
                return self.agent.on_speech_started(self.call, heard)
            case SpeechStopped():
                return self.agent.on_speech_stopped(self.call, heard)


def read_start(data: bytes) -> CallStarted:
    """A call's first event. Raises WireError."""
    event = decode_event(data).event
    if not isinstance(event, CallStarted):
        raise WireError(f"a call begins with {type(event).__name__}")
    return event


def _state(agent: type[Agent], stored: bytes) -> Any:
    """Raises AgentError when the owner before, of another version, left what cannot be one."""
    if agent.State is None:
        return None
    try:
        return msgspec.msgpack.decode(stored, type=agent.State) if stored else agent.State()
    except msgspec.ValidationError as error:
        text = f"what was stored of it does not fit {agent.__name__}.State: {error}"
        raise AgentError(f"{text}; fields may come with a default and go, but keep type") from None


def _split(stored: bytes) -> tuple[Memory, bytes]:
    """What the hearing remembers, and the agent."""
    if not stored.startswith(_REMEMBERS):
        return Memory(), stored
    return msgspec.msgpack.decode(stored[1:], type=tuple[Memory, bytes])
