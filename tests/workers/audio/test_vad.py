from __future__ import annotations

import itertools
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.audio.codec import Pcm
from workers.audio.resampler import Resampler
from workers.audio.vad import (
    SpeechDetector,
    SpeechEdge,
    SpeechStarted,
    SpeechStopped,
    VoiceDetector,
    WebRtcVoice,
)

RATES = [8000, 16_000, 24_000, 48_000]
SPEECH = Path(__file__).parents[2] / "fixtures" / "speech.wav"
#: By its making, with 100 ms of silence at each end.
FIRST_WORD_MS, LAST_WORD_MS = 100, 3640


class ByLoudness:
    """Another detector, in the place of WebRTC's: frames of 10 ms at 8 kHz."""

    rate_hz = 8000
    frame_samples = 80

    def is_speech(self, frame: Pcm) -> bool:
        assert len(frame) == self.frame_samples
        return bool(np.abs(frame.astype(int)).mean() > 100)


def conversation(rate_hz: int, *, noise: float = 0) -> Pcm:
    """A second of silence, speech, a second of silence."""
    with wave.open(str(SPEECH)) as file:
        speech = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    silence = np.zeros(8000, np.int16)
    pcm = np.concatenate((silence, speech, silence)).astype(np.float64)
    pcm += np.random.default_rng(1).normal(size=len(pcm)) * noise
    return Resampler(8000, rate_hz).process(np.clip(pcm, -32_768, 32_767).astype(np.int16))


def loud(*parts: tuple[bool, int]) -> Pcm:
    """Of each part, whether it is loud and how many milliseconds it lasts, at 8 kHz."""
    return np.concatenate([np.full(8 * ms, 1000 * is_loud, np.int16) for is_loud, ms in parts])


def edges(detector: SpeechDetector, pcm: Pcm, *, size: int = 160) -> list[SpeechEdge]:
    return [
        edge for at in range(0, len(pcm), size) for edge in detector.process(pcm[at : at + size])
    ]


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("noise", [0, 30, 300])
def test_speech_is_found_where_it_is(rate_hz: int, noise: float) -> None:
    detector = SpeechDetector(rate_hz)
    found = edges(detector, conversation(rate_hz, noise=noise), size=rate_hz // 50)
    assert [type(edge) for edge in found] == [SpeechStarted, SpeechStopped]
    started_ms, stopped_ms = (edge.at * 1000 / rate_hz - 1000 for edge in found)
    assert FIRST_WORD_MS - 110 <= started_ms <= FIRST_WORD_MS + 100
    assert LAST_WORD_MS - 200 <= stopped_ms <= LAST_WORD_MS + 200


@pytest.mark.parametrize("rate_hz", [8000, 24_000])
@pytest.mark.parametrize("loudness", [0, 8, 30, 100, 300, 1000])
def test_noise_is_no_speech(rate_hz: int, loudness: float) -> None:
    noise = np.random.default_rng(2).normal(size=rate_hz * 5) * loudness
    assert edges(SpeechDetector(rate_hz), noise.astype(np.int16)) == []


def test_a_short_pause_tells_speech_from_speech_when_asked_to() -> None:
    found = edges(SpeechDetector(8000, hangover_ms=100), conversation(8000))
    assert len(found) > 2
    kinds = itertools.cycle((SpeechStarted, SpeechStopped))
    assert all(type(edge) is kind for edge, kind in zip(found, kinds, strict=False))
    assert [edge.at for edge in found] == sorted(edge.at for edge in found)


def test_what_is_shorter_than_the_onset_is_no_speech() -> None:
    detector = SpeechDetector(8000, onset_ms=60, hangover_ms=200, voice=ByLoudness())
    pcm = loud((False, 100), (True, 50), (False, 100), (True, 60), (False, 190), (True, 10))
    assert edges(detector, pcm) == [SpeechStarted(8 * 250)]
    assert detector.is_speaking
    assert edges(detector, loud((False, 210))) == [SpeechStopped(8 * 510)]
    assert not detector.is_speaking


def test_without_onset_and_hangover_each_frame_counts() -> None:
    detector = SpeechDetector(8000, onset_ms=0, hangover_ms=0, voice=ByLoudness())
    assert edges(detector, loud((True, 10), (False, 10), (True, 20))) == [
        SpeechStarted(0),
        SpeechStopped(80),
        SpeechStarted(160),
    ]


def test_a_successor_tells_only_the_end() -> None:
    detector = SpeechDetector(8000, hangover_ms=200, is_speaking=True, voice=ByLoudness())
    assert detector.is_speaking
    assert edges(detector, loud((True, 100), (False, 300))) == [SpeechStopped(800)]


def test_a_successor_in_the_middle_of_speech_does_not_take_it_for_its_end() -> None:
    middle = conversation(8000)[12_000:20_000]
    detector = SpeechDetector(8000, hangover_ms=100, is_speaking=True)
    assert edges(detector, middle[:4000]) == []


def test_a_successor_that_hears_nothing_tells_the_end() -> None:
    detector = SpeechDetector(8000, is_speaking=True)
    assert edges(detector, np.zeros(8000, np.int16)) == [SpeechStopped(0)]


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([8000, 16_000]), st.lists(st.integers(0, 5000), min_size=1, max_size=8))
def test_how_frames_are_cut_does_not_matter(rate_hz: int, sizes: list[int]) -> None:
    pcm = conversation(rate_hz)[: sum(sizes)]
    detector = SpeechDetector(rate_hz)
    found = [edge for piece in cut(pcm, sizes) for edge in detector.process(piece)]
    assert found == edges(SpeechDetector(rate_hz), pcm)


def cut(pcm: Pcm, sizes: list[int]) -> Iterator[Pcm]:
    at = 0
    for size in sizes:
        yield pcm[at : at + size]
        at += size


@pytest.mark.parametrize("rate_hz", [11_025, 22_050, 32_000])
def test_any_rate_is_fine(rate_hz: int) -> None:
    found = edges(SpeechDetector(rate_hz), conversation(rate_hz), size=441)
    assert [type(edge) for edge in found] == [SpeechStarted, SpeechStopped]
    assert found[0].at / rate_hz == pytest.approx(1.05, abs=0.1)


def test_webrtc_hears_nothing_while_it_learns() -> None:
    voice: VoiceDetector = WebRtcVoice(8000)
    speech = conversation(8000)[12_000:]
    heard = [voice.is_speech(speech[at : at + 160]) for at in range(0, 1600, 160)]
    assert heard == [False] * 6 + [True] * 4


def test_webrtc_does_not_take_every_rate() -> None:
    with pytest.raises(ValueError, match="24000 Hz is not one of"):
        WebRtcVoice(24_000)


def test_edges_of_different_kinds_differ() -> None:
    """As tuples they would not."""
    started: SpeechEdge = SpeechStarted(5)
    stopped: SpeechEdge = SpeechStopped(5)
    assert started != stopped
