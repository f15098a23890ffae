from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.audio import AudioFormat
from common.events import AudioReceived, CallStarted, DtmfReceived
from workers.agent import Agent
from workers.audio.codec import Pcm
from workers.audio.dtmf_tones import dtmf_tones
from workers.audio.files import load_sound
from workers.audio.sound import Decoded, HeardAudio
from workers.running.detectors import Detectors, Noticed
from workers.running.memory import Memory
from workers.voice.speech import SpeechSettings, SpeechStarted, SpeechStopped

KEYLESS = CallStarted("mesmer", AudioFormat.pcmu(), reports_dtmf=False)
WITH_KEYS = CallStarted("twilio", AudioFormat.pcmu())


SPEECH = load_sound(Path(__file__).parents[2] / "fixtures" / "speech.wav").pcm
LEAD_IN_MS = 100  # of silence, on both sides
SILENCE = np.zeros(8000, np.int16)


class Partner(Agent):
    speech = SpeechSettings()


class Switchboard(Agent):
    detect_dtmf = True


def heard(pcm: Pcm, rate_hz: int = 8000, *, at_ms: int = 0) -> HeardAudio:
    return HeardAudio(AudioReceived(b"", at_ms, 1), KEYLESS.format, Decoded(rate_hz, pcm))


def keys(detectors: Detectors, pcm: Pcm, rate_hz: int = 8000) -> str:
    """Those noticed in it, 20 ms at a time."""
    frames = np.array_split(pcm, max(1, len(pcm) * 50 // rate_hz))
    noticed = [event for frame in frames for event in detectors.notice(heard(frame, rate_hz))]
    return "".join(event.digit for event in noticed if isinstance(event, DtmfReceived))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 48_000])
def test_keys_are_heard_where_the_provider_reports_none(rate_hz: int) -> None:
    detectors = Detectors(Switchboard, KEYLESS, Memory())
    assert detectors.is_needed
    assert keys(detectors, dtmf_tones("112#", rate_hz), rate_hz) == "112#"


@pytest.mark.parametrize(("agent", "started"), [(Agent, KEYLESS), (Switchboard, WITH_KEYS)])
def test_and_nowhere_else_nor_for_an_agent_that_does_not_ask(
    agent: type[Agent], started: CallStarted
) -> None:
    detectors = Detectors(agent, started, Memory())
    assert not detectors.is_needed
    assert keys(detectors, dtmf_tones("12", 8000)) == ""


def edges(detectors: Detectors, pcm: Pcm, *, at_ms: int = 0) -> list[Noticed]:
    """What is noticed in it, 20 ms at a time, when it begins at `at_ms`."""
    return [
        noticed
        for start in range(0, len(pcm), 160)
        for noticed in detectors.notice(heard(pcm[start : start + 160], at_ms=at_ms + start // 8))
    ]


def test_speech_begins_and_ends_where_it_does() -> None:
    detectors = Detectors(Partner, WITH_KEYS, Memory())
    assert detectors.is_needed
    started, stopped = edges(detectors, np.concatenate((SILENCE, SPEECH, SILENCE)))
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert started.offset_ms == pytest.approx(1000 + LEAD_IN_MS, abs=140)
    assert stopped.offset_ms == pytest.approx(1000 + len(SPEECH) / 8 - LEAD_IN_MS, abs=140)


def test_speech_is_dated_by_the_stream_even_where_time_jumps() -> None:
    detectors = Detectors(Partner, WITH_KEYS, Memory())
    edges(detectors, SILENCE)
    (started,) = edges(detectors, SPEECH, at_ms=90_000)
    assert isinstance(started, SpeechStarted)
    assert started.offset_ms == pytest.approx(90_000 + LEAD_IN_MS, abs=140)


def test_settings_say_how_long_a_pause_is() -> None:
    class Impatient(Agent):
        speech = SpeechSettings(hangover_ms=60)

    told = edges(Detectors(Impatient, WITH_KEYS, Memory()), np.concatenate((SPEECH, SILENCE)))
    assert len(told) > 2


def test_speech_that_began_before_a_takeover_only_ends() -> None:
    memory = Memory()
    (started,) = edges(Detectors(Partner, WITH_KEYS, memory), SPEECH[:8000])
    assert isinstance(started, SpeechStarted)
    after = Detectors(Partner, WITH_KEYS, Memory(memory.key, memory.is_speaking))
    rest = np.concatenate((SPEECH[8000:], SILENCE))
    (stopped,) = edges(after, rest, at_ms=1000)
    assert isinstance(stopped, SpeechStopped)
    assert stopped.offset_ms == pytest.approx(len(SPEECH) / 8 - LEAD_IN_MS, abs=140)


def test_a_key_that_is_held_over_a_takeover_is_told_once() -> None:
    memory = Memory()
    tone = dtmf_tones("5", 8000, on_ms=400)
    assert keys(Detectors(Switchboard, KEYLESS, memory), tone[:1600]) == "5"
    assert memory.key == "5"
    after = Detectors(Switchboard, KEYLESS, Memory(memory.key))
    assert keys(after, tone[1600:]) == ""
    assert keys(after, tone) == "5"
