from __future__ import annotations

import itertools
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.audio import g711
from workers.audio.codec import Pcm
from workers.audio.dtmf_detector import DtmfDetector
from workers.audio.dtmf_tones import HIGH_HZ, KEYS, LOW_HZ, ZERO_DBM0_PEAK, dtmf_tones

RATES = [8000, 16_000, 24_000]
SPEECH = Path(__file__).parents[2] / "fixtures" / "speech.wav"
PEAK = ZERO_DBM0_PEAK / 10 ** (10 / 20)
#: Where a key may begin within the detector's steps of 5 ms.
STARTS_MS = [30.0, 31.25, 32.5, 33.75]

Signal = NDArray[np.float64]


def key(
    digit: str,
    rate_hz: int,
    *,
    ms: float,
    detuned: tuple[float, float] = (0, 0),
    twist_db: float = 0,
) -> Signal:
    """Switched on and off at once, which is harder than a ramp."""
    row, column = divmod(KEYS.index(digit), 4)
    time = np.arange(round(ms * rate_hz / 1000)) / rate_hz
    low = np.sin(2 * np.pi * LOW_HZ[row] * (1 + detuned[0]) * time + 1)
    high = np.sin(2 * np.pi * HIGH_HZ[column] * (1 + detuned[1]) * time + 2)
    ratio = 10 ** (twist_db / 40)
    return PEAK * (low * ratio + high / ratio)


def silence(rate_hz: int, ms: float) -> Signal:
    return np.zeros(round(ms * rate_hz / 1000))


def noise(samples: int, loudness: float, *, seed: int = 3) -> Signal:
    return np.random.default_rng(seed).normal(size=samples) * loudness


def pressed(signal: Signal, rate_hz: int, *, held: str = "") -> str:
    """The digits, after a round trip through mu-law, in frames of 20 ms."""
    pcm = np.clip(np.rint(signal), -32_768, 32_767).astype(np.int16)
    return digits_in(g711.decode_mulaw(g711.encode_mulaw(pcm)), rate_hz, held=held)


def digits_in(pcm: Pcm, rate_hz: int, *, held: str = "") -> str:
    detector = DtmfDetector(rate_hz, held=held)
    size = rate_hz // 50
    found = (detector.process(pcm[at : at + size]) for at in range(0, len(pcm), size))
    return "".join(itertools.chain.from_iterable(found))


def presses(
    digits: str, rate_hz: int, *, on_ms: float, off_ms: float, start_ms: float = 30
) -> Signal:
    parts = [silence(rate_hz, start_ms)]
    for digit in digits:
        parts += [key(digit, rate_hz, ms=on_ms), silence(rate_hz, off_ms)]
    return np.concatenate([*parts, silence(rate_hz, 60)])


@pytest.mark.parametrize("rate_hz", RATES)
def test_every_key_of_our_own_is_heard_once(rate_hz: int) -> None:
    pcm = dtmf_tones(KEYS * 2, rate_hz)
    assert digits_in(g711.decode_mulaw(g711.encode_mulaw(pcm)), rate_hz) == KEYS * 2
    assert digits_in(g711.decode_alaw(g711.encode_alaw(pcm)), rate_hz) == KEYS * 2


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("start_ms", STARTS_MS)
@pytest.mark.parametrize(("on_ms", "off_ms"), [(40, 40), (60, 40), (100, 100), (1000, 50)])
def test_short_keys_and_pauses_are_enough(
    on_ms: int, off_ms: int, start_ms: float, rate_hz: int
) -> None:
    signal = presses("1122#DD*", rate_hz, on_ms=on_ms, off_ms=off_ms, start_ms=start_ms)
    assert pressed(signal, rate_hz) == "1122#DD*"


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("start_ms", STARTS_MS)
@pytest.mark.parametrize("on_ms", [5, 10, 15, 20])
def test_what_is_too_short_is_no_key(on_ms: int, start_ms: float, rate_hz: int) -> None:
    signal = presses(KEYS, rate_hz, on_ms=on_ms, off_ms=50, start_ms=start_ms)
    assert pressed(signal, rate_hz) == ""


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("digit", KEYS)
def test_keys_may_be_out_of_tune_twisted_and_noisy(digit: str, rate_hz: int) -> None:
    for low, high, twist_db in itertools.product((-0.015, 0.015), (-0.015, 0.015), (-6, 0, 6)):
        tones = key(digit, rate_hz, ms=50, detuned=(low, high), twist_db=twist_db)
        signal = np.concatenate((silence(rate_hz, 33), tones, silence(rate_hz, 60)))
        loudness = float(np.sqrt(np.mean(tones**2))) / 10  # 20 dB below
        assert pressed(signal + noise(len(signal), loudness), rate_hz) == digit


@pytest.mark.parametrize("detuned", [(0.035, 0), (-0.035, 0), (0, 0.035), (0, -0.035)])
@pytest.mark.parametrize("digit", KEYS)
def test_what_is_far_out_of_tune_is_no_key(digit: str, detuned: tuple[float, float]) -> None:
    assert pressed(key(digit, 8000, ms=200, detuned=detuned), 8000) == ""


@pytest.mark.parametrize("twist_db", [-14, 14])
def test_what_is_far_too_unequal_is_no_key(twist_db: int) -> None:
    assert pressed(key("5", 8000, ms=200, twist_db=twist_db), 8000) == ""


@pytest.mark.parametrize(("level_db", "heard"), [(-24, "7"), (0, "7"), (4, "7"), (-34, "")])
def test_keys_are_heard_over_a_wide_range_of_levels(level_db: int, heard: str) -> None:
    assert pressed(key("7", 8000, ms=100) * 10 ** (level_db / 20), 8000) == heard


@pytest.mark.parametrize("start_ms", STARTS_MS)
@pytest.mark.parametrize("lost_ms", [5, 10, 20])
def test_a_lost_frame_does_not_make_two_presses_of_one(lost_ms: int, start_ms: float) -> None:
    signal = presses("8", 8000, on_ms=300, off_ms=0, start_ms=start_ms)
    signal[1000 : 1000 + 8 * lost_ms] = 0
    assert pressed(signal, 8000) == "8"


def test_a_key_right_after_another_is_heard() -> None:
    assert pressed(presses("1590", 8000, on_ms=80, off_ms=0), 8000) == "1590"


def test_the_second_press_may_be_much_softer() -> None:
    loud, soft = presses("5", 8000, on_ms=80, off_ms=50), presses("5", 8000, on_ms=80, off_ms=50)
    assert pressed(np.concatenate((loud, soft / 8)), 8000) == "55"
    too_short = presses("5", 8000, on_ms=20, off_ms=50)
    assert pressed(np.concatenate((too_short, soft / 8)), 8000) == "5"


@pytest.mark.parametrize("rate_hz", RATES)
def test_speech_holds_no_key(rate_hz: int) -> None:
    """At the rates it was not made for it sounds higher, as a child's."""
    with wave.open(str(SPEECH)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    for speed in (1, 2, 3):
        assert digits_in(pcm[::speed], rate_hz) == ""


@pytest.mark.parametrize("rate_hz", RATES)
def test_noise_holds_no_key(rate_hz: int) -> None:
    white = noise(rate_hz * 20, 6000)
    brown = np.cumsum(white)
    brown = (brown - np.convolve(brown, np.ones(200) / 200, "same")) / 4
    assert pressed(white, rate_hz) == ""
    assert pressed(brown, rate_hz) == ""


@pytest.mark.parametrize("hz", [*LOW_HZ, *HIGH_HZ, 350, 425, 440, 480, 620, 1000, 2100])
def test_a_single_tone_is_no_key(hz: int) -> None:
    time = np.arange(8000) / 8000
    assert pressed(2 * PEAK * np.sin(2 * np.pi * hz * time), 8000) == ""


def test_the_tones_of_the_exchange_are_no_keys() -> None:
    time = np.arange(16_000) / 8000
    for pair in ((350, 440), (440, 480), (480, 620), (1400, 2060), (2450, 2600)):
        tones = sum(PEAK * np.sin(2 * np.pi * hz * time) for hz in pair)
        assert pressed(np.asarray(tones), 8000) == ""


def test_two_tones_of_one_group_are_no_key() -> None:
    time = np.arange(8000) / 8000
    for group in (LOW_HZ, HIGH_HZ):
        for one, other in itertools.combinations(group, 2):
            tones = np.sin(2 * np.pi * one * time) + np.sin(2 * np.pi * other * time)
            assert pressed(PEAK * tones, 8000) == ""


def test_chords_hold_no_key() -> None:
    """All triads of three octaves, on strings with overtones; some roots are a key's own tones."""
    rate_hz = 8000
    time = np.arange(rate_hz // 5) / rate_hz
    chords = []
    for root in range(36):
        for steps in ((0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 10, 16)):
            pitches = [220 * 2 ** ((root + step) / 12) for step in steps]
            partials = [
                np.sin(2 * np.pi * hz * n * time + hz) / n**1.5
                for hz in pitches
                for n in range(1, 5)
                if hz * n < rate_hz / 2
            ]
            chords.append(4000 * np.sum(partials, axis=0) * np.exp(-3 * time))
    assert pressed(np.concatenate(chords), rate_hz) == ""


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(RATES),
    st.text(KEYS, max_size=5),
    st.integers(40, 120),
    st.integers(40, 120),
    st.lists(st.integers(1, 2000), min_size=1, max_size=8),
)
def test_what_is_heard_does_not_depend_on_how_frames_are_cut(
    rate_hz: int, digits: str, on_ms: int, off_ms: int, sizes: list[int]
) -> None:
    pcm = np.rint(presses(digits, rate_hz, on_ms=on_ms, off_ms=off_ms)).astype(np.int16)
    detector = DtmfDetector(rate_hz)
    heard, at = "", 0
    for size in itertools.cycle(sizes):
        heard += "".join(detector.process(pcm[at : at + size]))
        at += size
        if at >= len(pcm):
            break
    assert heard == digits
    assert detector.held == ""


def test_nothing_is_nothing() -> None:
    detector = DtmfDetector(8000)
    assert detector.process(np.zeros(0, np.int16)) == []
    assert detector.held == ""


def test_a_key_is_held_until_it_is_released() -> None:
    detector = DtmfDetector(8000)
    tones = np.rint(key("4", 8000, ms=200)).astype(np.int16)
    assert detector.process(tones) == ["4"]
    assert detector.held == "4"
    assert detector.process(np.zeros(800, np.int16)) == []
    assert detector.held == ""


def test_a_press_is_reported_within_50_ms() -> None:
    detector = DtmfDetector(8000)
    tones = np.rint(key("4", 8000, ms=50)).astype(np.int16)
    assert detector.process(tones) == ["4"]


def test_a_successor_does_not_report_a_held_key_again() -> None:
    signal = presses("66", 8000, on_ms=150, off_ms=50, start_ms=0)
    assert pressed(signal, 8000) == "66"
    assert pressed(signal, 8000, held="6") == "6"


def test_a_successor_of_a_released_key_hears_the_next_press() -> None:
    assert pressed(presses("6", 8000, on_ms=100, off_ms=0, start_ms=100), 8000, held="6") == "6"
    assert pressed(presses("7", 8000, on_ms=100, off_ms=0, start_ms=0), 8000, held="6") == "7"
