"""A network that keeps no order: how late each chunk of a call leaves, and which leave twice.

Rule 1: the same seed is the same disorder.
Rule 2: nothing is lost, and no chunk is overtaken by one that is spoken 5 chunks after it or later.
"""

from __future__ import annotations

import random

__all__ = ["Shuffle"]

#: Chunks among which the order is lost: a chunk leaves at most one less after its time.
WINDOW = 5
#: How many of all chunks leave twice.
DOUBLED = 0.05


class Shuffle:
    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def delays(self) -> list[int]:
        """How many chunks after its time the next chunk leaves; two when it leaves twice."""
        copies = 2 if self._random.random() < DOUBLED else 1
        return [self._random.randrange(WINDOW) for _ in range(copies)]
