"""Keys that are heard, for providers that do not report them: one digit per press.

Rule 1: a window is a key only if nearly all its energy is in two tones, one of each group, that
        are in tune and about equally loud. Speech does that for an instant, never for 30 ms.
Rule 2: a press is reported once, as soon as it has lasted long enough, and ends with a pause.
Rule 3: frames may be cut anywhere: windows lie on a grid of their own.

Limits follow ITU-T Q.24 (11/1988), table A-1: a key of 40 ms is heard and one of 20 is not, nor is
a pause of 10 ms one; tones may be 1.5 % out of tune, and differ by 6 dB and more.
"""

from __future__ import annotations

import cmath
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from workers.audio.codec import Pcm
from workers.audio.dtmf_tones import HIGH_HZ, KEYS, LOW_HZ, ZERO_DBM0_PEAK

__all__ = ["DtmfDetector"]

_Floats: TypeAlias = NDArray[np.float32]
_Spectrum: TypeAlias = list[complex]

_TONES_HZ = (*LOW_HZ, *HIGH_HZ)
_WINDOW_MS = 20
_STEP_MS = 5

# Windows in a row that make a press. A key of 40 ms fills 4 and touches 10, of which it rules 6;
# one of 20 ms rules 3.
_WINDOWS_TO_PRESS = 5
# Windows in a row without the key that end it. A pause of 40 ms spoils 9 or more; a lost frame of
# 20 ms spoils 7, and must not make two presses of one.
_WINDOWS_TO_RELEASE = 8

# Of a window's energy, in the two tones. The one limit that speech comes near: two hours of
# espeak's voices hold no key, at 0.7 they would hold 14.
_LEAST_SHARE = 0.85
# Q.24: 1.5 % must pass, 3.5 % must not.
_MOST_DETUNED = 0.025
# Power of one tone to that of the other: 9 dB.
_MOST_TWIST = 10 ** (9 / 10)
# Peak of each tone, at -35 dBm0.
_LEAST_PEAK = ZERO_DBM0_PEAK / 10 ** (35 / 20)
# Against the loudest window of a press; below, it is its echo or its fading end. 10 dB in power.
_LEAST_OF_PRESS = 10 ** (-10 / 10)


class DtmfDetector:
    """Of one track. `held` is the key that a predecessor already reported and nobody released."""

    def __init__(self, rate_hz: int, *, held: str = "") -> None:
        self._windows = _Windows(rate_hz)
        self._press = _Press(held)

    @property
    def held(self) -> str:
        """The key that was reported and is still down, or nothing."""
        return self._press.held

    def process(self, pcm: Pcm) -> list[str]:
        """The keys whose press is sure since the last call, 30 to 50 ms after it began."""
        judged = (self._press.next(key, power) for key, power in self._windows.keys_in(pcm))
        return [key for key in judged if key]


class _Press:
    """Which key is down, from window to window."""

    def __init__(self, held: str) -> None:
        self.held = held
        self._key = held  # that was heard last, for an instant at least
        self._hits = 0  # windows of it in a row, up to now
        self._loudest = 0.0  # of them
        self._misses = 0  # windows since `held` was heard

    def next(self, key: str, power: float) -> str:
        """The key, when this window makes it a press."""
        if key and key != self._key:
            self._key, self._hits, self._loudest = key, 0, 0.0
        if power < _LEAST_OF_PRESS * self._loudest:
            key = ""
        self._hits = self._hits + 1 if key else 0
        self._loudest = max(self._loudest, power)
        self._misses = 0 if key and key == self.held else self._misses + 1
        if self._misses >= _WINDOWS_TO_RELEASE:
            self.held = ""
            self._loudest = self._loudest if self._hits else 0.0
        if key == self.held or self._hits < _WINDOWS_TO_PRESS:
            return ""
        self.held, self._misses = key, 0
        return key


class _Windows:
    """Overlapping windows of 20 ms, each a key or none."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._size = rate_hz * _WINDOW_MS // 1000
        self._step = rate_hz * _STEP_MS // 1000
        # Hann's: what is left of one tone in the bin of another is small.
        window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(self._size) + 0.5) / self._size)
        time = np.arange(self._size) / rate_hz
        turns = np.exp(-2j * np.pi * np.outer(time, _TONES_HZ))
        # An amplitude, whatever the size of the window; likewise the square of the signal's.
        self._bank = (turns * (2 * window / window.sum())[:, np.newaxis]).astype(np.complex64)
        self._weights = (window**2 * 2 / (window**2).sum()).astype(np.float32)
        self._held = np.zeros(self._size - self._step, np.float32)
        self._last: _Spectrum = [0j] * len(_TONES_HZ)

    def keys_in(self, pcm: Pcm) -> list[tuple[str, float]]:
        """Key and power of each window that is full now."""
        buffer = np.concatenate((self._held, pcm), dtype=np.float32)
        count = (len(buffer) - self._size) // self._step + 1
        if count <= 0:
            self._held = buffer
            return []
        strides = (self._step * buffer.itemsize, buffer.itemsize)
        windows = np.ndarray((count, self._size), np.float32, buffer, 0, strides).copy()
        self._held = buffer[count * self._step :].copy()
        spectra: list[_Spectrum] = (windows @ self._bank).tolist()
        energies: list[float] = (windows**2 @ self._weights).tolist()
        return [
            self._key(spectrum, energy) for spectrum, energy in zip(spectra, energies, strict=True)
        ]

    def _key(self, spectrum: _Spectrum, energy: float) -> tuple[str, float]:
        last, self._last = self._last, spectrum
        if energy < 2 * _LEAST_PEAK**2:
            return "", 0.0
        power = [value.real**2 + value.imag**2 for value in spectrum]
        row = max(range(4), key=power.__getitem__)
        column = max(range(4, 8), key=power.__getitem__)
        # Before the loss of tones out of tune is known; it takes 4 dB at the most.
        if power[row] + power[column] < 0.3 * energy:
            return "", 0.0
        low = self._in_tune(row, last[row], spectrum[row])
        high = self._in_tune(column, last[column], spectrum[column])
        if min(low, high) < _LEAST_PEAK**2 or max(low, high) > _MOST_TWIST * min(low, high):
            return "", 0.0
        if low + high < _LEAST_SHARE * energy:
            return "", 0.0
        return KEYS[4 * row + column - 4], low + high

    def _in_tune(self, tone: int, before: complex, now: complex) -> float:
        """Power of the tone; 0 when it is no such tone. How far the phase turned since the window
        before tells the frequency, to 100 Hz each side."""
        hz = _TONES_HZ[tone]
        step_s = self._step / self._rate_hz
        turned = cmath.phase(now * before.conjugate()) / (2 * math.pi) - hz * step_s
        detuned_hz = (turned - round(turned)) / step_s
        if abs(detuned_hz) > _MOST_DETUNED * hz:
            return 0.0
        bins = detuned_hz * self._size / self._rate_hz
        return (now.real**2 + now.imag**2) / _hann_response(bins) ** 2


def _hann_response(bins: float) -> float:
    """What is left of the amplitude of a tone so many bins beside; within one bin."""
    if abs(bins) < 1e-6:
        return 1.0
    return math.sin(math.pi * bins) / (math.pi * bins) / (1 - bins * bins)
