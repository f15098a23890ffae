from __future__ import annotations

import msgspec
import numpy as np
import pytest

from common.audio import AudioFormat, Encoding
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
from common.wire import encode_event
from tests.workers.calls import ENDED, STARTED, FakeRuntime, audio
from workers.agent import Agent
from workers.audio import codecs
from workers.audio.dtmf_tones import dtmf_tones
from workers.audio.sound import HeardAudio
from workers.call import Call
from workers.running.scene import Scene, read_start
from workers.voice.speech import SpeechSettings, SpeechStarted, SpeechStopped

KEYLESS = CallStarted("mesmer", AudioFormat.pcmu(), reports_dtmf=False)
NOT_ENCODED = CallStarted(
    "telnyx", AudioFormat.pcmu(), play_format=AudioFormat(Encoding.MP3, 44_100)
)


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


def scene(
    agent: type[Agent] = Diary, stored: bytes = b"", *, started: CallStarted = STARTED
) -> Scene:
    return Scene(agent, "c1", started, FakeRuntime(), stored)


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


class Changed(Diary):
    """What comes after Diary, in another version."""

    class State(msgspec.Struct):
        mood: str = "new"


async def test_fields_of_the_state_come_and_go_between_versions() -> None:
    before = scene()
    await before.handle(STARTED)
    after = scene(Changed, stored=before.state() or b"")
    assert after.call.state.mood == "new"
    assert scene(stored=after.state() or b"").call.state.seen == []


async def test_a_field_that_changes_its_type_is_said_to_have() -> None:
    class Retyped(Diary):
        class State(msgspec.Struct):
            seen: int = 0

    before = scene()
    with pytest.raises(AgentError, match=r"does not fit Retyped\.State: .*\$\.seen"):
        scene(Retyped, stored=before.state() or b"")


async def test_an_agent_that_remembers_nothing_has_no_state() -> None:
    assert scene(Agent).state() is None
    assert scene(Agent).call.state is None


@pytest.mark.parametrize(
    "wanted", [AudioFormat.pcmu(), AudioFormat.pcm(1000), AudioFormat(Encoding.L16, 8000, 2)]
)
def test_what_cannot_be_had_is_said_before_the_start(wanted: AudioFormat) -> None:
    class Listener(Agent):
        listen = wanted

    with pytest.raises(AgentError, match=r"Listener listens to .*: what can be had is AudioFormat"):
        scene(Listener).check()


def test_a_format_without_an_encoder_is_no_call_for_an_agent_that_plays_samples() -> None:
    with pytest.raises(
        AgentError, match=r"^there is no encoder for MP3/44100; .* with needs_encoder = False$"
    ):
        scene(started=NOT_ENCODED).check()


async def test_an_agent_that_plays_no_samples_needs_no_encoder() -> None:
    class Listener(Diary):
        listen = AudioFormat.pcm(16_000)
        needs_encoder = False

    diary = scene(Listener, started=NOT_ENCODED)
    diary.check()
    await diary.handle(NOT_ENCODED)
    await diary.handle(audio(1))
    assert diary.call.state.seen == ["start", "audio 1"]
    await diary.call.play(b"a whole MP3 file")
    with pytest.raises(AgentError, match=r"^there is no encoder for MP3/44100$"):
        await diary.call.play(np.zeros(160, np.int16))


async def test_all_that_one_frame_leads_to_is_handled_at_once_and_in_order() -> None:
    class Listener(Diary):
        listen = AudioFormat.pcm(16_000)
        detect_dtmf = True

    diary = scene(Listener, started=KEYLESS)
    press = codecs.encode(dtmf_tones("7", 8000), AudioFormat.pcmu())
    await diary.handle(AudioReceived(press, 0, 1))
    await diary.handle(AudioReceived(press, 600, 4, lost_frames=2))
    assert diary.call.state.seen == ["dtmf 7", "audio 1", "audio 2", "dtmf 7", "audio 4"]


async def test_speech_is_told_before_the_frame_that_made_it_sure() -> None:
    class Partner(Diary):
        speech = SpeechSettings(onset_ms=60, hangover_ms=100)

        async def on_speech_started(self, call: Call, speech: SpeechStarted) -> None:
            call.state.seen.append("started")

        async def on_speech_stopped(self, call: Call, speech: SpeechStopped) -> None:
            call.state.seen.append("stopped")

    diary = scene(Partner)
    noise = np.random.default_rng(1).normal(0, 3000, 160).astype(np.int16)
    for sequence in range(1, 51):
        pcm = noise if 20 <= sequence < 35 else np.zeros(160, np.int16)
        await diary.handle(audio(sequence, codecs.encode(pcm, AudioFormat.pcmu())))
    seen = diary.call.state.seen
    assert sorted(set(seen) - {f"audio {n}" for n in range(1, 51)}) == ["started", "stopped"]
    assert seen[seen.index("started") + 1] in [f"audio {n}" for n in range(22, 25)]
    assert diary.state() is not None


async def test_the_next_owner_does_not_tell_again_which_key_is_down() -> None:
    class Listener(Diary):
        detect_dtmf = True

    press = codecs.encode(dtmf_tones("7", 8000, on_ms=400, off_ms=100), AudioFormat.pcmu())
    before = scene(Listener, started=KEYLESS)
    await before.handle(AudioReceived(press[:1600], 0, 1))
    stored = before.state()
    assert stored is not None
    after = scene(Listener, stored=stored, started=KEYLESS)
    assert after.call.state.seen == ["dtmf 7", "audio 1"]
    await after.handle(AudioReceived(press[1600:], 200, 2))
    assert after.call.state.seen == ["dtmf 7", "audio 1", "audio 2"]
    # What is over is not remembered either.
    last = scene(Listener, stored=after.state() or b"", started=KEYLESS)
    await last.handle(AudioReceived(press, 400, 3))
    assert last.call.state.seen[-2:] == ["dtmf 7", "audio 3"]


async def test_hearing_is_remembered_for_agents_without_a_state_too() -> None:
    class Listener(Agent):
        detect_dtmf = True

    press = codecs.encode(dtmf_tones("7", 8000), AudioFormat.pcmu())
    before = scene(Listener, started=KEYLESS)
    await before.handle(AudioReceived(press[:800], 0, 1))
    assert before.state() is not None
    after = scene(Listener, stored=before.state() or b"", started=KEYLESS)
    assert after.call.state is None


async def test_the_next_owner_says_that_it_goes_on() -> None:
    class Steady(Diary):
        async def on_resumed(self, call: Call) -> None:
            call.state.seen.append("resumed")

    diary = scene(Steady)
    await diary.resume()
    assert diary.call.state.seen == ["resumed"]


def test_a_call_begins_with_a_start() -> None:
    assert read_start(encode_event(STARTED, at_ms=0)) == STARTED
    for wrong in (encode_event(ENDED, at_ms=0), b"", b"\xc1"):
        with pytest.raises(WireError):
            read_start(wrong)
