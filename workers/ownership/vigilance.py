"""When the silence of others means that they are dead; no I/O.

A lease that has run out says that its holder did not reach Redis. Should Redis itself have been
away, so did nobody, and whoever comes back first must not take all the others for dead. So nobody
is judged until Redis has been there, without a break, for long enough that everybody who lives had
time to say so.

Times are monotonic seconds; `now_ms` is the clock of Redis.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Vigilance"]

#: A new worker has seen no break; it only must not be the first after one.
_LEASES_AFTER_START = 0.5
_LEASES_AFTER_BREAK = 2.0
#: Of a lease: a slower answer means that Redis stood still, a jump of its clock that leases lie.
_MAX_PAUSE = 0.25


class _Renewal(NamedTuple):
    answered_at: float
    now_ms: int


class Vigilance:
    def __init__(self, *, lease_s: float, edge_lease_s: float, now: float) -> None:
        self._lease_s = lease_s
        self._edge_lease_s = edge_lease_s
        self._steady_since = now
        self._workers_from = now + _LEASES_AFTER_START * lease_s
        self._last: _Renewal | None = None

    def renewed(self, *, sent_at: float, answered_at: float, now_ms: int) -> None:
        """Redis has renewed our lease."""
        last, self._last = self._last, _Renewal(answered_at, now_ms)
        pause_s = answered_at - sent_at
        if last is not None:
            by_redis_s = (now_ms - last.now_ms) / 1000
            pause_s = max(pause_s, abs(by_redis_s - (answered_at - last.answered_at)))
        if pause_s > _MAX_PAUSE * self._lease_s:
            self.failed(now=answered_at)

    def failed(self, *, now: float) -> None:
        """Redis did not answer, or what it says about time cannot be trusted."""
        self._steady_since = now
        self._workers_from = now + _LEASES_AFTER_BREAK * self._lease_s

    def may_judge_workers(self, *, now: float) -> bool:
        return now >= self._workers_from

    def may_judge_edges(self, *, now: float) -> bool:
        return now >= self._steady_since + self._edge_lease_s
