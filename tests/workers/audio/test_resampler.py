from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.audio.codec import Pcm
from workers.audio.resampler import MAX_HZ, MIN_HZ, Resampler

PEAK = 16_000
RATES = [8000, 16_000, 24_000, 48_000]
PAIRS = list(itertools.permutations(RATES, 2))
#: From files; the last have next to no common measure.
ODD_PAIRS = [(22_050, 8000), (44_100, 16_000), (11_025, 16_000), (22_254, 8000), (8000, 22_254)]


def tone(hz: float, rate_hz: int, *, seconds: float = 0.5) -> Pcm:
    time = np.arange(round(rate_hz * seconds)) / rate_hz
    samples: Pcm = np.rint(PEAK * np.sin(2 * np.pi * hz * time)).astype(np.int16)
    return samples


def noise(samples: int) -> Pcm:
    return np.random.default_rng(7).integers(-20_000, 20_000, samples).astype(np.int16)


def whole(pcm: Pcm, from_hz: int, to_hz: int) -> Pcm:
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate((resampler.process(pcm), resampler.flush()))


def level_db(pcm: Pcm, rate_hz: int) -> float:
    """Beside a tone of PEAK; without 10 ms at each end, which silence reaches into."""
    edge = rate_hz // 100
    loudness = pcm[edge:-edge].astype(np.float64).std()
    return float(20 * np.log10(max(loudness, 1e-3) * 2**0.5 / PEAK))


def difference(one: Pcm, other: Pcm) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max(initial=0))


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS + ODD_PAIRS)
def test_tones_keep_their_pitch_phase_and_loudness_up_to_85_percent_of_the_band(
    from_hz: int, to_hz: int
) -> None:
    end_hz = 0.85 * min(from_hz, to_hz) / 2
    for hz in (100.0, 1000.0, end_hz / 2, end_hz):
        heard = whole(tone(hz, from_hz), from_hz, to_hz)
        expected = tone(hz, to_hz)[: len(heard)]
        error = heard[: len(expected)] - expected
        assert level_db(error, to_hz) < -45, hz
        assert abs(level_db(heard, to_hz)) < 0.05, hz


@pytest.mark.parametrize(("from_hz", "to_hz"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_a_sweep_of_what_the_lower_rate_cannot_hold_is_gone(from_hz: int, to_hz: int) -> None:
    for hz in np.linspace(1.01 * to_hz / 2, 0.99 * from_hz / 2, 12):
        assert level_db(whole(tone(hz, from_hz), from_hz, to_hz), to_hz) < -55, hz


@pytest.mark.parametrize(("from_hz", "to_hz"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_no_image_appears_above_the_band_that_there_was(from_hz: int, to_hz: int) -> None:
    for hz in np.linspace(300, 0.84 * from_hz / 2, 8):
        heard = whole(tone(hz, from_hz), from_hz, to_hz)
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        above = int(len(spectrum) * from_hz / to_hz)
        assert spectrum[above:].max() < spectrum.max() / 10 ** (55 / 20), hz


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS + ODD_PAIRS)
def test_frames_of_20_ms_join_without_a_seam(from_hz: int, to_hz: int) -> None:
    check_cuts(noise(from_hz // 2), from_hz, to_hz, size=from_hz // 50)


def check_cuts(pcm: Pcm, from_hz: int, to_hz: int, *, size: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    frames = [resampler.process(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    joined = np.concatenate([*frames, resampler.flush()])
    assert len(joined) == len(whole(pcm, from_hz, to_hz))
    assert difference(joined, whole(pcm, from_hz, to_hz)) <= 1  # where a rounding was a close call


@settings(deadline=None)
@given(st.sampled_from(PAIRS + ODD_PAIRS), st.lists(st.integers(0, 700), max_size=12))
def test_how_a_signal_is_cut_does_not_change_it(pair: tuple[int, int], sizes: list[int]) -> None:
    from_hz, to_hz = pair
    pcm = noise(sum(sizes))
    resampler = Resampler(from_hz, to_hz)
    frames, fed, got = [], 0, 0
    for size in sizes:
        frames.append(resampler.process(pcm[fed : fed + size]))
        fed, got = fed + size, got + len(frames[-1])
        behind_ms = fed * 1000 / from_hz - got * 1000 / to_hz
        assert -1000 / to_hz < behind_ms <= resampler.delay_ms + 1e-9 or got == 0
    joined = np.concatenate([*frames, resampler.flush()])
    assert joined.dtype == np.int16
    assert len(joined) == -(-len(pcm) * to_hz // from_hz)
    assert difference(joined, whole(pcm, from_hz, to_hz)) <= 1


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 16_000), (44_100, 8000), (22_050, 16_000)])
def test_an_hour_has_as_many_samples_as_an_hour(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    second = noise(from_hz)
    got = sum(len(resampler.process(second)) for _ in range(3600))
    assert got + len(resampler.flush()) == 3600 * to_hz


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS + ODD_PAIRS)
def test_delay_is_short(from_hz: int, to_hz: int) -> None:
    assert 0 < Resampler(from_hz, to_hz).delay_ms <= 3.1


def test_delay_is_what_is_held_back() -> None:
    resampler = Resampler(8000, 16_000)
    assert resampler.delay_ms == 3.0
    assert [len(resampler.process(noise(160))) for _ in range(3)] == [272, 320, 320]
    assert len(resampler.flush()) == 48


def test_after_a_flush_nothing_is_left_of_before() -> None:
    resampler = Resampler(8000, 24_000)
    resampler.process(noise(1000))
    resampler.flush()
    again = np.concatenate((resampler.process(tone(440, 8000)), resampler.flush()))
    assert again.tolist() == whole(tone(440, 8000), 8000, 24_000).tolist()
    assert resampler.flush().size == 0


def test_equal_rates_pass_through_without_a_copy() -> None:
    resampler = Resampler(16_000, 16_000)
    pcm = noise(320)
    assert resampler.process(pcm) is pcm
    assert resampler.flush().size == 0
    assert resampler.delay_ms == 0


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 48_000), (48_000, 8000), (22_254, 8000)])
def test_full_scale_does_not_wrap(from_hz: int, to_hz: int) -> None:
    square = np.where(np.arange(4000) // 40 % 2, 32_767, -32_768).astype(np.int16)
    heard = whole(square, from_hz, to_hz)
    assert heard.max() == 32_767
    assert heard.min() == -32_768


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS + ODD_PAIRS)
def test_a_constant_stays_one(from_hz: int, to_hz: int) -> None:
    heard: NDArray[np.int16] = whole(np.full(from_hz // 4, 12_345, np.int16), from_hz, to_hz)
    edge = to_hz // 100
    assert difference(heard[edge:-edge], np.full_like(heard[edge:-edge], 12_345)) <= 1


def test_frames_that_may_not_be_written_to_are_fine() -> None:
    pcm = noise(160)
    pcm.flags.writeable = False
    assert Resampler(8000, 16_000).process(pcm).flags.writeable


@pytest.mark.parametrize("rate_hz", [0, -8000, MIN_HZ - 1, MAX_HZ + 1])
def test_rates_beyond_reason_are_refused(rate_hz: int) -> None:
    with pytest.raises(ValueError, match=f"{rate_hz} Hz is not within"):
        Resampler(rate_hz, 8000)
    with pytest.raises(ValueError, match=f"{rate_hz} Hz is not within"):
        Resampler(8000, rate_hz)
