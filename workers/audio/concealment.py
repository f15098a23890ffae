"""What stands in for lost frames: the last cycle of the voice again and again, fading to silence.

A gap of 20 ms that is filled so is hardly heard; silence in its place is a click. The method and
its times are those of ITU-T G.711 Appendix I (09/1999), without its delay of 3.75 ms: full volume
for 10 ms, then down by a fifth every 10 ms. What was already heard is not reached into again, so
the first cycle is bent to begin where the sound broke off.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from workers.audio.codec import Pcm

__all__ = ["Concealment"]

_Floats: TypeAlias = NDArray[np.float32]

_FULL_MS, _SILENT_AFTER_MS = 10, 60
# Every voice has a multiple of its cycle in this range: 66 to 200 Hz.
_SHORTEST_MS, _LONGEST_MS = 5, 15
_COMPARED_MS = 20
_KEPT_MS = _COMPARED_MS + _LONGEST_MS
_JOIN_MS = 4


class Concealment:
    """Of one track. For every gap: `conceal` as often as needed, then `join` the next frame."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._recent: deque[Pcm] = deque()
        self._kept = 0  # samples in it
        self._cycle: _Floats | None = None  # of the gap that is being filled
        self._lead_in: _Floats = np.zeros(0, np.float32)  # what bends its beginning
        self._filled = 0  # samples since the last that was heard

    def heard(self, pcm: Pcm) -> None:
        """What came. It is kept, not copied: 35 ms of it and more are not to be written to."""
        if not len(pcm):
            return
        self._recent.append(pcm)
        self._kept += len(pcm)
        while self._kept - len(self._recent[0]) >= self._samples(_KEPT_MS):
            self._kept -= len(self._recent.popleft())
        self._cycle, self._filled = None, 0

    def conceal(self, samples: int) -> Pcm:
        """So many samples, going on where the last call ended; silent 60 ms after what was heard
        last."""
        filling = _as_pcm(self._fill(samples))
        self._filled += samples
        return filling

    def join(self, pcm: Pcm) -> Pcm:
        """The frame after a gap, with its first 4 ms faded over from what was made up; any other
        frame is returned as it is. Call `heard` after it."""
        count = min(self._samples(_JOIN_MS), len(pcm))
        if not self._filled or not count:
            return pcm
        rising = ((np.arange(count) + 0.5) / count).astype(np.float32)
        start = self._fill(count) * (1 - rising) + pcm[:count] * rising
        return np.concatenate((_as_pcm(start), pcm[count:]))

    def _fill(self, samples: int) -> _Floats:
        filling = np.zeros(samples, np.float32)
        audible = min(samples, self._samples(_SILENT_AFTER_MS) - self._filled)
        if audible <= 0 or not self._recent:
            return filling
        if self._cycle is None:
            self._find_cycle()
        assert self._cycle is not None
        at = np.arange(self._filled, self._filled + audible)
        part = self._cycle[at % len(self._cycle)]
        bent = self._lead_in[self._filled : self._filled + audible]
        part[: len(bent)] += bent
        full, silent = self._samples(_FULL_MS), self._samples(_SILENT_AFTER_MS)
        filling[:audible] = part * np.minimum(1, (silent - at) / (silent - full))
        return filling

    def _find_cycle(self) -> None:
        kept = self._samples(_KEPT_MS)
        recent = np.concatenate((np.zeros(kept, np.float32), *self._recent), dtype=np.float32)
        recent = recent[-kept:]
        length = self._cycle_length(recent)
        self._cycle = recent[-length:].copy()
        # Its end is led over to its beginning, over a quarter, so that repetitions do not click.
        quarter = length // 4
        rising = np.arange(1, quarter + 1, dtype=np.float32) / quarter
        before = recent[-length - quarter : -length]
        self._cycle[-quarter:] += (before - self._cycle[-quarter:]) * rising
        step = recent[-1] - before[-1]
        self._lead_in = step * (1 - rising)

    def _cycle_length(self, recent: _Floats) -> int:
        """The shift at which the last 20 ms look most like what came before them."""
        compared = self._samples(_COMPARED_MS)
        shortest, longest = self._samples(_SHORTEST_MS), self._samples(_LONGEST_MS)
        earlier = recent[-compared - longest : -shortest]  # longest shift first
        likeness = np.correlate(earlier, recent[-compared:], "valid")
        summed = np.concatenate(([0.0], np.cumsum(earlier.astype(np.float64) ** 2)))
        energy = summed[compared:] - summed[:-compared]
        score = likeness / np.sqrt(np.maximum(energy, 1.0))
        return longest - int(np.argmax(score))

    def _samples(self, ms: int) -> int:
        return self._rate_hz * ms // 1000


def _as_pcm(samples: _Floats) -> Pcm:
    pcm: Pcm = np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16)
    return pcm
