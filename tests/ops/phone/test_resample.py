from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ops.phone.resample import resample

RATES = [8000, 11_025, 16_000, 24_000, 44_100, 48_000]


def tone(hz: float, rate_hz: int, *, seconds: float = 0.4) -> NDArray[np.int16]:
    index = np.arange(int(rate_hz * seconds))
    return (10_000 * np.sin(2 * np.pi * hz * index / rate_hz)).astype(np.int16)


def middle(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    """Without the ends, where the silence before and after reaches in."""
    return pcm[200:-200].astype(np.float64)


@pytest.mark.parametrize("to_hz", RATES)
@pytest.mark.parametrize("rate_hz", RATES)
def test_tone_keeps_its_pitch_phase_and_loudness(rate_hz: int, to_hz: int) -> None:
    heard, expected = resample(tone(440, rate_hz), rate_hz, to_hz), tone(440, to_hz)
    assert len(heard) == len(expected)
    assert np.abs(middle(heard) - middle(expected)).max() < 10


@pytest.mark.parametrize("hz", [4400, 6000, 10_000])
def test_what_the_lower_rate_cannot_hold_is_gone(hz: int) -> None:
    heard = resample(tone(hz, 48_000), 48_000, 8000)
    assert np.abs(middle(heard)).max() < 50  # of 10,000


def test_almost_all_of_the_lower_band_is_kept() -> None:
    heard = resample(tone(3600, 48_000), 48_000, 8000)
    assert middle(heard).std() == pytest.approx(10_000 / 2**0.5, rel=0.02)


def test_full_scale_does_not_wrap() -> None:
    square = np.where(np.arange(4000) // 20 % 2, 32_767, -32_768).astype(np.int16)
    heard = resample(square, 8000, 24_000)
    assert heard.max() == 32_767
    assert heard.min() == -32_768


@given(st.integers(0, 500), st.sampled_from(RATES), st.sampled_from(RATES))
def test_length_is_kept_to_the_sample(count: int, rate_hz: int, to_hz: int) -> None:
    heard = resample(np.ones(count, np.int16), rate_hz, to_hz)
    assert 0 <= len(heard) - count * to_hz / rate_hz < 1
    assert heard.dtype == np.int16


def test_same_rate_is_the_same_samples() -> None:
    pcm = tone(440, 8000)
    assert resample(pcm, 8000, 8000) is pcm
