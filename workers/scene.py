"""The agent and its call, put together: which handler an event goes to."""

from __future__ import annotations

from typing import Any

import msgspec

from common.audio import AudioFormat
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
from workers.call import Call, CallRuntime
from workers.sound import HeardAudio

__all__ = ["Scene", "read_start"]


class Scene:
    """`stored` is what `state` gave to the owner before, empty when there was none. Whatever the
    agent's own code raises, here or in `handle`, comes through."""

    def __init__(
        self,
        agent: type[Agent],
        call_id: str,
        started: CallStarted,
        runtime: CallRuntime,
        stored: bytes,
    ) -> None:
        self.agent = agent()
        self.call = Call(call_id, started, runtime, _state(agent, stored))

    def state(self) -> bytes | None:
        """What the next owner needs; None for an agent that remembers nothing."""
        if self.agent.State is None:
            return None
        return msgspec.msgpack.encode(self.call.state)

    async def handle(self, event: Event) -> None:
        agent, call = self.agent, self.call
        match event:
            case CallStarted():
                _check_listen(agent, event.format)
                await agent.on_start(call)
            case AudioReceived(track=track) if track in agent.tracks:
                await agent.on_audio(call, HeardAudio(event, call.format))
            case DtmfReceived():
                await agent.on_dtmf(call, event)
            case MarkReached():
                await agent.on_mark(call, event)
            case ProviderFailed():
                await agent.on_error(call, event)
            case CallEnded():
                await agent.on_stop(call, event)


def read_start(data: bytes) -> CallStarted:
    """A call's first event. Raises WireError."""
    event = decode_event(data).event
    if not isinstance(event, CallStarted):
        raise WireError(f"a call begins with {type(event).__name__}")
    return event


def _state(agent: type[Agent], stored: bytes) -> Any:
    if agent.State is None:
        return None
    return msgspec.msgpack.decode(stored, type=agent.State) if stored else agent.State()


def _check_listen(agent: Agent, heard: AudioFormat) -> None:
    """Audio that cannot be had in the agent's format is said at once, never silence."""
    if agent.listen is not None and agent.listen.rate_hz != heard.rate_hz:
        name = type(agent).__name__
        raise AgentError(f"{name} listens at {agent.listen.rate_hz} Hz, the call is {heard}")
