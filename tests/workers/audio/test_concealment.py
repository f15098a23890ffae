from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.audio.codec import Pcm
from workers.audio.concealment import Concealment

RATES = [8000, 16_000, 24_000, 48_000]
SPEECH = Path(__file__).parents[2] / "fixtures" / "speech.wav"
PEAK = 10_000


def voice(rate_hz: int, *, ms: int, hz: float = 130.0) -> Pcm:
    """A tone with overtones; its cycle is no whole number of samples."""
    time = np.arange(rate_hz * ms // 1000) / rate_hz
    wave_form = sum(np.sin(2 * np.pi * hz * k * time + k) / k for k in range(1, 6))
    samples: Pcm = np.rint(PEAK / 2 * np.asarray(wave_form)).astype(np.int16)
    return samples


def speech() -> Pcm:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)


def after(pcm: Pcm, rate_hz: int) -> Concealment:
    """Has heard `pcm` in frames of 20 ms."""
    concealment = Concealment(rate_hz)
    size = rate_hz // 50
    for at in range(0, len(pcm), size):
        concealment.heard(pcm[at : at + size])
    return concealment


def steepest(pcm: Pcm) -> int:
    return int(np.abs(np.diff(pcm.astype(int))).max(initial=0))


def loudness(pcm: Pcm) -> float:
    return float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2)) + 1e-9)


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("hz", [75.0, 130.0, 211.0, 390.0])
def test_a_voice_goes_on_as_it_was(rate_hz: int, hz: float) -> None:
    whole = voice(rate_hz, ms=120, hz=hz)
    heard, lost = whole[: rate_hz // 10], whole[rate_hz // 10 :][: rate_hz // 100]
    made_up = after(heard, rate_hz).conceal(len(lost))
    error = made_up.astype(int) - lost
    assert loudness(error.astype(np.int16)) < 0.2 * loudness(lost)


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("lost_ms", [20, 40, 100])
def test_neither_end_of_a_gap_clicks(rate_hz: int, lost_ms: int) -> None:
    whole = voice(rate_hz, ms=300)
    cut, end = rate_hz // 10, rate_hz // 10 + rate_hz * lost_ms // 1000
    concealment = after(whole[:cut], rate_hz)
    made_up = concealment.conceal(end - cut)
    rest = concealment.join(whole[end:])
    assert steepest(np.concatenate((whole[:cut], made_up, rest))) <= 1.5 * steepest(whole)


def test_speech_without_every_fifth_frame_has_no_click_that_speech_has_not() -> None:
    whole = speech()
    concealment = Concealment(8000)
    heard = []
    for number, frame in enumerate(frames(whole)):
        if number % 5 == 4:
            heard.append(concealment.conceal(160))
        else:
            heard.append(concealment.join(frame))
            concealment.heard(frame)
    joined = np.concatenate(heard)
    assert steepest(joined) <= 1.1 * steepest(whole)
    apart_db = [
        abs(20 * np.log10(loudness(made_up) / loudness(lost)))
        for lost, made_up in zip(frames(whole)[4::5], frames(joined)[4::5], strict=True)
        if loudness(lost) > 300
    ]
    assert len(apart_db) > 20
    assert np.median(apart_db) < 3


def frames(pcm: Pcm) -> list[Pcm]:
    return [pcm[at : at + 160] for at in range(0, len(pcm) - 159, 160)]


def test_it_fades_and_is_silent_60_ms_after_what_was_heard() -> None:
    made_up = after(voice(8000, ms=100), 8000).conceal(1000)
    tens = [loudness(made_up[at : at + 80]) for at in range(0, 480, 80)]
    assert tens == sorted(tens, reverse=True)
    assert tens[-1] > 0
    assert tens[-1] < 0.2 * tens[0]
    assert not made_up[480:].any()


@settings(deadline=None)
@given(st.sampled_from(RATES), st.lists(st.integers(0, 700), max_size=8))
def test_calls_go_on_where_the_last_ended(rate_hz: int, sizes: list[int]) -> None:
    heard = voice(rate_hz, ms=80)
    concealment = after(heard, rate_hz)
    pieces = [concealment.conceal(size) for size in sizes]
    assert [len(piece) for piece in pieces] == sizes
    once = after(heard, rate_hz).conceal(sum(sizes))
    assert np.concatenate([once[:0], *pieces]).tolist() == once.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 700), max_size=8))
def test_it_does_not_matter_in_which_frames_it_was_heard(sizes: list[int]) -> None:
    pcm = voice(8000, ms=1000)[: sum(sizes)]
    concealment = Concealment(8000)
    at = 0
    for size in sizes:
        concealment.heard(pcm[at : at + size])
        at += size
    assert concealment.conceal(300).tolist() == after(pcm, 8000).conceal(300).tolist()


def test_nothing_heard_is_silence() -> None:
    made_up = Concealment(8000).conceal(500)
    assert made_up.dtype == np.int16
    assert made_up.tolist() == [0] * 500


def test_silence_stays_silence() -> None:
    assert not after(np.zeros(800, np.int16), 8000).conceal(500).any()


@pytest.mark.parametrize("count", [1, 3, 40, 160])
def test_little_heard_is_enough(count: int) -> None:
    made_up = after(np.full(count, 5000, np.int16), 8000).conceal(480)
    assert len(made_up) == 480
    assert steepest(np.concatenate((np.full(count, 5000, np.int16), made_up))) <= 5000


def test_full_scale_does_not_wrap() -> None:
    square = np.where(np.arange(2000) // 37 % 2, 32_767, -32_768).astype(np.int16)
    concealment = after(square, 8000)
    made_up = concealment.conceal(80)
    assert made_up[0] == square[-1]
    assert np.abs(made_up.astype(int)).max() <= 32_768
    assert concealment.join(square).tolist()[32:] == square.tolist()[32:]


def test_after_silence_sound_fades_in() -> None:
    concealment = after(voice(8000, ms=100), 8000)
    concealment.conceal(8000)
    joined = concealment.join(np.full(160, 8000, np.int16))
    assert np.diff(joined[:33].astype(int)).min() > 0
    assert joined[0] < 200
    assert set(joined[32:].tolist()) == {8000}


def test_without_a_gap_a_frame_is_left_alone() -> None:
    concealment = after(voice(8000, ms=100), 8000)
    frame = voice(8000, ms=20)
    assert concealment.join(frame) is frame
    concealment.conceal(160)
    concealment.join(frame)
    concealment.heard(frame)
    assert concealment.join(frame) is frame


def test_what_was_heard_is_not_written_to() -> None:
    frame = voice(8000, ms=20)
    frame.flags.writeable = False
    concealment = after(frame, 8000)
    concealment.conceal(160)
    assert concealment.join(frame) is not frame
    assert frame.tolist() == voice(8000, ms=20).tolist()


def test_memory_is_bounded() -> None:
    concealment = Concealment(8000)
    for _ in range(1000):
        concealment.heard(np.zeros(160, np.int16))
    assert len(concealment._recent) <= 3
