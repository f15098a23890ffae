from __future__ import annotations

import numpy as np
import pytest

from common.audio import AudioFormat
from common.events import AudioReceived, CallStarted, DtmfReceived
from workers.agent import Agent
from workers.audio.codec import Pcm
from workers.audio.dtmf_tones import dtmf_tones
from workers.detectors import Detectors, Memory
from workers.sound import Decoded, HeardAudio

KEYLESS = CallStarted("mesmer", AudioFormat.pcmu(), reports_dtmf=False)
WITH_KEYS = CallStarted("twilio", AudioFormat.pcmu())


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


def test_a_key_that_is_held_over_a_takeover_is_told_once() -> None:
    memory = Memory()
    tone = dtmf_tones("5", 8000, on_ms=400)
    assert keys(Detectors(Switchboard, KEYLESS, memory), tone[:1600]) == "5"
    assert memory.key == "5"
    after = Detectors(Switchboard, KEYLESS, Memory(memory.key))
    assert keys(after, tone[1600:]) == ""
    assert keys(after, tone) == "5"
