"""The latest events of a call, encoded, for a Redis that has lost some of them; sans-IO.

Rule 1: what Redis has not acknowledged stays, however old; the rest for `keep_s`.
Rule 2: acknowledgements come in the order of the events, as their answers do.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Kept", "Ring"]


class Kept(NamedTuple):
    sequence: int
    at: float
    data: bytes


class Ring:
    def __init__(self, *, keep_s: float) -> None:
        self._keep_s = keep_s
        self._kept: deque[Kept] = deque()
        self._last = 0
        self._stored = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_stored(self) -> bool:
        """Whether Redis has acknowledged everything."""
        return self._stored == self._last

    def append(self, data: bytes, *, now: float) -> int:
        """The event's sequence; the first is 1. `now` is monotonic seconds."""
        self._last += 1
        kept = self._kept
        kept.append(Kept(self._last, now, data))
        old = now - self._keep_s
        while kept[0].at < old and kept[0].sequence <= self._stored:
            kept.popleft()
        return self._last

    def acknowledge(self) -> None:
        """Redis has the next event."""
        self._stored += 1

    def after(self, stored: int) -> list[Kept]:
        """What a Redis lacks that has the events up to `stored`, as far as it is still here; these
        are what the next acknowledgements are for."""
        missing = [event for event in self._kept if event.sequence > stored]
        self._stored = self._last - len(missing)
        return missing
