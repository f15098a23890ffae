"""When the audio that is queued came: tells how much of it should have left long ago; sans-IO.

While the provider takes nothing, audio waits that its caller should have heard meanwhile. What is
behind a stall is told from what is merely queued, because a long answer comes all at once and
waits for its turn, by following the pacer's rule with the time at which each piece came.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Arrivals"]


class _Arrival(NamedTuple):
    ends: int
    at: float


class Arrivals:
    """Positions are the pacer's samples; `lead_s` is how long before its time audio leaves."""

    def __init__(self, *, rate_hz: int, lead_s: float) -> None:
        self._rate_hz = rate_hz
        self._lead_s = lead_s
        self._waiting: deque[_Arrival] = deque()

    def came(self, ends: int, *, sent: int, now: float) -> None:
        """Audio up to position `ends` was queued; up to `sent`, all has left."""
        while self._waiting and self._waiting[0].ends <= sent:
            self._waiting.popleft()
        self._waiting.append(_Arrival(ends, now))

    def clear(self) -> None:
        self._waiting.clear()

    def overdue(self, *, sent: int, heard_at: float, before: float) -> int:
        """How many of the samples that wait should have left before the time `before`; what was
        sent is heard to its end at `heard_at`."""
        overdue, position = 0, sent
        for ends, at in self._waiting:
            samples = ends - position
            if samples <= 0:
                continue
            starts_at = max(heard_at, at)
            late = int((before + self._lead_s - starts_at) * self._rate_hz)
            if late <= 0:
                break
            overdue += min(late, samples)
            heard_at = starts_at + samples / self._rate_hz
            position = ends
        return overdue

    def skipped(self, samples: int, *, sent: int) -> None:
        """So many samples behind `sent` will never leave: what is behind them moves up."""
        self._waiting = deque(
            _Arrival(ends - samples, at) for ends, at in self._waiting if ends - samples > sent
        )
