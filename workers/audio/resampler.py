"""Another sample rate, frame by frame: a windowed sinc, so short that nobody hears the delay.

Rule 1: how a signal is cut into frames does not change what comes out of it, but for rounding.
Rule 2: output sample n lies exactly at time n / to_hz, so nothing drifts in a call of any length.
Rule 3: what cannot be computed yet is held back, never guessed: `delay_ms` behind what came.

The filter is flat to 85 % of the band that both rates can hold (3.4 kHz of 4 kHz) and some 60 dB
down from the end of it. Its weights depend only on where an output sample lies between two input
samples, and that repeats: after `down` input and `up` output samples. So a block of output is a
block of input times a matrix, which costs less than any library that was tried: ops/adr/0005.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from workers.audio.codec import Pcm

__all__ = ["MAX_HZ", "MIN_HZ", "Resampler"]

#: What a file may come with; telephones speak at 8000 to 48000.
MIN_HZ, MAX_HZ = 4000, 192_000

_Floats: TypeAlias = NDArray[np.float32]

# In samples of the lower rate, each side: 3 ms at 8 kHz.
_REACH = 24
# Middle of the slope, as a share of the lower rate's band: it falls from 0.85 to 1.
_CUTOFF = 0.925
# Kaiser's formula for a slope of 0.075 cycles per sample over 48 samples gives 60 dB, and this.
_BETA = 5.6
# Fewer samples a block means more blocks, more means more zeros in the matrix: 64 is cheapest.
_BLOCK = 64
# A matrix is shared by all calls and takes 2 MB at the most; beyond it, rates have no common
# measure worth a table, and each output sample gets weights of its own.
_MAX_BLOCK = 640  # 11,025 to 16,000 Hz
# Output samples whose weights are computed at a time.
_AT_ONCE = 1024


class Resampler:
    """One direction of one call. Raises ValueError for rates outside MIN_HZ to MAX_HZ."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        for rate_hz in (from_hz, to_hz):
            if not MIN_HZ <= rate_hz <= MAX_HZ:
                raise ValueError(f"{rate_hz} Hz is not within {MIN_HZ} to {MAX_HZ} Hz")
        self._from_hz = from_hz
        self._filter = _filter(from_hz, to_hz) if from_hz != to_hz else None
        # Silence comes before the first sample.
        self._held: _Floats = np.zeros(self._filter.reach - 1 if self._filter else 0, np.float32)
        # Of the next output sample within what is held, in 1 / up of an input sample.
        self._position = 0

    @property
    def delay_ms(self) -> float:
        """How far the output stays behind the input: what `flush` would add."""
        return self._filter.reach * 1000 / self._from_hz if self._filter else 0.0

    def process(self, pcm: Pcm) -> Pcm:
        """Whatever can be told after `pcm`, perhaps nothing. Equal rates: `pcm` itself."""
        kept = self._filter
        if kept is None:
            return pcm
        buffer = np.concatenate((self._held, pcm), dtype=np.float32)
        # An output sample at input sample i of the buffer is made of i .. i + 2 * reach - 1.
        end = (len(buffer) - 2 * kept.reach + 1) * kept.up
        count = -((self._position - end) // kept.down)
        if count <= 0:
            self._held = buffer
            return np.zeros(0, np.int16)
        output = kept.apply(buffer, self._position, count)
        self._position += count * kept.down
        done = self._position // (kept.up * kept.grain) * kept.grain
        self._position -= done * kept.up
        self._held = buffer[done:].copy()  # not a view, which would keep all of a long sound
        return _as_pcm(output)

    def flush(self) -> Pcm:
        """The end of the signal, as if silence followed; then as new."""
        if self._filter is None:
            return np.zeros(0, np.int16)
        rest = self.process(np.zeros(self._filter.reach, np.int16))
        self._held = np.zeros(self._filter.reach - 1, np.float32)
        self._position = 0
        return rest


class _Filter(Protocol):
    """`up` output samples last as long as `down` input samples; `reach` input samples on each
    side make an output sample. The origin of positions moves by multiples of `grain` samples."""

    up: int
    down: int
    reach: int
    grain: int

    def apply(self, buffer: _Floats, position: int, count: int) -> _Floats:
        """`count` output samples from `position` on, all of which the buffer can give."""


class _BlockFilter:
    """For rates with a common measure. Positions are multiples of `down`."""

    def __init__(self, up: int, down: int) -> None:
        self.up, self.down, self.grain = up, down, down
        self.reach = _reach(up, down)
        repeats = max(1, _BLOCK // max(up, down))
        self._input, self._output = repeats * down, repeats * up
        self._width = (self._output - 1) * down // up + 2 * self.reach
        self._matrix = np.zeros((self._width, self._output), np.float32)
        for sample, weights in enumerate(_weights(np.arange(self._output) * down, up, down)):
            first = sample * down // up
            self._matrix[first : first + 2 * self.reach, sample] = weights

    def apply(self, buffer: _Floats, position: int, count: int) -> _Floats:
        skipped = position // self.down
        blocks = -(-(skipped + count) // self._output)
        missing = (blocks - 1) * self._input + self._width - len(buffer)
        if missing > 0:  # the last block is not whole: its end is cut off below
            buffer = np.concatenate((buffer, np.zeros(missing, np.float32)))
        # Blocks overlap. numpy's own ways to say so take longer than the product itself.
        strides = (self._input * buffer.itemsize, buffer.itemsize)
        windows = np.ndarray((blocks, self._width), np.float32, buffer, 0, strides)
        product: _Floats = windows.copy() @ self._matrix
        return product.reshape(-1)[skipped : skipped + count]


class _SampleFilter:
    """For any rates. A hundred times slower, as each sample has weights of its own."""

    def __init__(self, up: int, down: int) -> None:
        self.up, self.down, self.grain = up, down, 1
        self.reach = _reach(up, down)

    def apply(self, buffer: _Floats, position: int, count: int) -> _Floats:
        output = np.empty(count, np.float32)
        taps = np.arange(2 * self.reach)
        for start in range(0, count, _AT_ONCE):
            stop = min(start + _AT_ONCE, count)
            positions = position + np.arange(start, stop) * self.down
            windows = buffer[(positions // self.up)[:, np.newaxis] + taps]
            weights = _weights(positions, self.up, self.down)
            output[start:stop] = np.einsum("st,st->s", windows, weights)
        return output


@lru_cache(maxsize=32)
def _filter(from_hz: int, to_hz: int) -> _Filter:
    common = math.gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    return (_BlockFilter if max(up, down) <= _MAX_BLOCK else _SampleFilter)(up, down)


def _reach(up: int, down: int) -> int:
    return math.ceil(_REACH * max(1.0, down / up))


def _weights(positions: NDArray[np.int64], up: int, down: int) -> _Floats:
    """Of the samples around each position, shape (positions, 2 * reach); they sum up to 1, so
    that a constant stays one."""
    reach = _reach(up, down)
    around = np.arange(1 - reach, reach + 1)
    distance = (around - (positions % up / up)[:, np.newaxis]) * min(1.0, up / down)
    weights = _sinc(np.abs(distance))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


def _sinc(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The windowed sinc, in samples of the lower rate, looked up."""
    place = np.minimum(distance * _PER_SAMPLE, len(_SINC) - 2)
    index = place.astype(np.intp)
    value: NDArray[np.float64] = _SINC[index] + (place - index) * (_SINC[index + 1] - _SINC[index])
    return value


def _sinc_table() -> NDArray[np.float64]:
    distance = np.arange(_REACH * _PER_SAMPLE + 1) / _PER_SAMPLE
    window = np.i0(_BETA * np.sqrt(1 - (distance / _REACH) ** 2))
    beyond = np.zeros(2)
    return np.concatenate((np.sinc(_CUTOFF * distance) * window, beyond))


def _as_pcm(samples: _Floats) -> Pcm:
    np.rint(samples, out=samples)
    np.minimum(samples, 32_767, out=samples)
    np.maximum(samples, -32_768, out=samples)
    return samples.astype(np.int16)


# Between two of its entries a straight line is off by 110 dB less than the signal.
_PER_SAMPLE = 512
_SINC = _sinc_table()
