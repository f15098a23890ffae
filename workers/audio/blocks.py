"""Samples of any number, cut into blocks of one size, for encoders whose packets have one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workers.audio.codec import Pcm

__all__ = ["Blocks"]


class Blocks:
    def __init__(self, size: int) -> None:
        self._size = size
        self._kept = np.zeros(0, np.int16)

    def take(self, pcm: Pcm) -> NDArray[np.int16]:
        """What is full now, shape (blocks, size); the rest is kept. Raises TypeError."""
        if pcm.dtype != np.int16:  # an encoder would take its bytes for samples
            raise TypeError(f"int16 samples are needed, not {pcm.dtype}")
        joined = np.concatenate((self._kept, pcm)) if len(self._kept) else pcm
        full = len(joined) // self._size * self._size
        self._kept = joined[full:].copy()  # the array is the caller's, who may change it
        return joined[:full].reshape(-1, self._size)

    def rest(self) -> NDArray[np.int16]:
        """What was kept, filled up with silence: one block or none."""
        return self.take(np.zeros(-len(self._kept) % self._size, np.int16))
