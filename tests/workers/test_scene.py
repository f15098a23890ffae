from __future__ import annotations

import msgspec
import pytest

from common.audio import AudioFormat
from common.errors import AgentError, WireError
from common.events import (
    AudioReceived,
    CallEnded,
    DtmfReceived,
    Event,
    MarkReached,
    ProviderFailed,
)
from common.wire import encode_event
from tests.workers.calls import ENDED, STARTED, FakeRuntime, audio
from workers.agent import Agent
from workers.call import Call
from workers.scene import Scene, read_start
from workers.sound import HeardAudio


class Diary(Agent):
    class State(msgspec.Struct):
        seen: list[str] = []

    async def on_start(self, call: Call) -> None:
        call.state.seen.append("start")

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        call.state.seen.append(f"audio {audio.sequence}")

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        call.state.seen.append(f"dtmf {dtmf.digit}")

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        call.state.seen.append(f"mark {mark.name}")

    async def on_error(self, call: Call, error: ProviderFailed) -> None:
        call.state.seen.append(f"error {error.code}")

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        call.state.seen.append("stop")


def scene(agent: type[Agent] = Diary, stored: bytes = b"") -> Scene:
    return Scene(agent, "c1", STARTED, FakeRuntime(), stored)


async def test_every_event_has_its_handler() -> None:
    diary = scene()
    events: list[Event] = [
        STARTED,
        audio(1),
        DtmfReceived("5"),
        MarkReached("m"),
        ProviderFailed("e1"),
        ENDED,
    ]
    for event in events:
        await diary.handle(event)
    assert diary.call.state.seen == ["start", "audio 1", "dtmf 5", "mark m", "error e1", "stop"]


async def test_a_track_that_the_agent_does_not_ask_for_is_not_heard() -> None:
    diary = scene()
    await diary.handle(AudioReceived(b"\xff", 0, 1, track="outbound"))
    assert diary.call.state.seen == []


async def test_the_state_of_one_owner_is_where_the_next_begins() -> None:
    before = scene()
    await before.handle(STARTED)
    assert scene(stored=before.state() or b"").call.state.seen == ["start"]


async def test_an_agent_that_remembers_nothing_has_no_state() -> None:
    assert scene(Agent).state() is None
    assert scene(Agent).call.state is None


async def test_a_rate_that_cannot_be_had_is_said_at_the_start() -> None:
    class Listener(Agent):
        listen = AudioFormat.pcm(16_000)

    with pytest.raises(AgentError, match="listens at 16000 Hz"):
        await scene(Listener).handle(STARTED)


def test_a_call_begins_with_a_start() -> None:
    assert read_start(encode_event(STARTED, at_ms=0)) == STARTED
    for wrong in (encode_event(ENDED, at_ms=0), b"", b"\xc1"):
        with pytest.raises(WireError):
            read_start(wrong)
