from __future__ import annotations

import numpy as np
import pytest

from common.errors import AgentError
from common.events import DIGITS
from workers.audio import g711
from workers.audio.codec import Pcm
from workers.audio.dtmf_tones import HIGH_HZ, KEYS, LOW_HZ, ZERO_DBM0_PEAK, dtmf_tones

RATES = [8000, 16_000, 24_000]


def amplitudes(pcm: Pcm, rate_hz: int, tones_hz: tuple[int, ...]) -> list[float]:
    """Of each tone over whole seconds' worth of bins: the key must last a second."""
    time = np.arange(len(pcm)) / rate_hz
    return [float(abs((pcm * np.exp(-2j * np.pi * hz * time)).mean()) * 2) for hz in tones_hz]


def test_keys_are_those_of_our_events() -> None:
    assert set(KEYS) == DIGITS
    assert len(KEYS) == len(DIGITS)


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize(
    ("digit", "low_hz", "high_hz"),
    [("1", 697, 1209), ("5", 770, 1336), ("0", 941, 1336), ("#", 941, 1477), ("D", 941, 1633)],
)
def test_a_key_is_its_two_tones_at_minus_10_dbm0(
    digit: str, low_hz: int, high_hz: int, rate_hz: int
) -> None:
    key = dtmf_tones(digit, rate_hz, on_ms=1000, off_ms=0)
    expected = ZERO_DBM0_PEAK * 10 ** (-10 / 20)
    for hz, amplitude in zip(
        LOW_HZ + HIGH_HZ, amplitudes(key, rate_hz, LOW_HZ + HIGH_HZ), strict=True
    ):
        assert amplitude == pytest.approx(expected if hz in (low_hz, high_hz) else 0, abs=40)


def test_the_loudest_sine_of_g711_is_at_3_17_dbm0() -> None:
    loudest = g711.decode_mulaw(b"\x80")[0]
    assert 20 * np.log10(loudest / ZERO_DBM0_PEAK) == pytest.approx(3.17)


@pytest.mark.parametrize("rate_hz", RATES)
def test_keys_and_pauses_last_as_long_as_asked(rate_hz: int) -> None:
    pcm = dtmf_tones("12", rate_hz, on_ms=60, off_ms=40)
    assert pcm.dtype == np.int16
    assert len(pcm) == rate_hz // 5
    tenth = rate_hz // 10
    on, off = rate_hz * 60 // 1000, rate_hz * 40 // 1000
    for key in (pcm[:tenth], pcm[tenth:]):
        assert np.abs(key[:on].astype(int)).max() > 10_000
        assert not key[on : on + off].any()


@pytest.mark.parametrize("rate_hz", RATES)
def test_keys_begin_and_end_without_a_click(rate_hz: int) -> None:
    pcm = dtmf_tones("159D", rate_hz).astype(int)
    key = rate_hz // 10
    for start in range(0, len(pcm), 2 * key):
        ends = np.abs(np.concatenate((pcm[start : start + 4], pcm[start + key - 4 : start + key])))
        assert ends.max() < 2500


def test_no_digits_are_no_samples() -> None:
    assert dtmf_tones("", 8000).size == 0
    assert dtmf_tones("", 8000).dtype == np.int16


def test_what_is_too_short_for_a_ramp_is_fine() -> None:
    assert len(dtmf_tones("1", 8000, on_ms=1, off_ms=0)) == 8


@pytest.mark.parametrize("on_ms", [-5, 0, 10_001, 10**9])
def test_a_key_that_is_pressed_for_ever_or_not_at_all_is_refused(on_ms: int) -> None:
    with pytest.raises(AgentError, match=f"a key is pressed for 1 to 10000 ms, not {on_ms}"):
        dtmf_tones("1", 8000, on_ms=on_ms)


@pytest.mark.parametrize("digits", ["x", "1a", "1 2", "é"])
def test_what_is_no_key_is_named(digits: str) -> None:
    with pytest.raises(AgentError, match="is no key of a telephone"):
        dtmf_tones(digits, 8000)
