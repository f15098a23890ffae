"""Who is alive: leases of edges and workers by the clock of Redis, as requests to Redis; no I/O.

A process that renews its lease is alive, for the others, until the lease has run out. One lease
stands for all calls of the process on the lane. Redis alone says what time it is, and a lease that
has run out gives nobody a call: only a claim does (`common/bus.py`).

Every request may be repeated after a lost reply.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from common import scripts
from common.bus import Request, Taken, read_entries
from common.errors import ReplyError
from common.keys import GROUP, TTL_S, Lane

__all__ = [
    "Look",
    "adopt",
    "leave",
    "leave_edge",
    "read_adopted",
    "read_look",
    "renew_edge",
    "renew_worker",
]


class Look(NamedTuple):
    """What a worker learns when it renews its lease: `now_ms` of Redis, in how many ms the next
    lease of another worker runs out (-1: there is no other), who else has let theirs run out."""

    now_ms: int
    next_end_ms: int
    dead_workers: list[str]
    dead_edges: list[str]


def renew_edge(lane: Lane, edge_id: str, *, lease_ms: int) -> Request:
    return scripts.RENEW.call((lane.edges,), edge_id, lease_ms, TTL_S * 1000)


def leave_edge(lane: Lane, edge_id: str) -> Request:
    """For an edge whose calls have all ended, their last events stored."""
    return (b"ZREM", lane.edges, edge_id)


def renew_worker(lane: Lane, worker_id: str, *, lease_ms: int) -> Request:
    # A dead worker is remembered until nothing of it is left: see `adopt`.
    return scripts.RENEW.call((lane.workers, lane.workers, lane.edges), worker_id, lease_ms, 0)


def read_look(reply: Any) -> Look:
    """Raises ReplyError when Redis refused the request."""
    if isinstance(reply, ReplyError):
        raise reply
    now_ms, next_end_ms, workers, edges = reply
    return Look(
        now_ms,
        next_end_ms,
        [name.decode() for name in workers],
        [name.decode() for name in edges],
    )


def adopt(lane: Lane, dead: str, worker_id: str, *, at_most: int) -> Request:
    return scripts.ADOPT.call((lane.calls, lane.workers), GROUP, dead, worker_id, at_most)


def read_adopted(reply: Any) -> list[Taken]:
    """Raises ReplyError when Redis refused the request."""
    if isinstance(reply, ReplyError):
        raise reply
    return read_entries(reply)


def leave(lane: Lane, worker_id: str) -> Request:
    """Answers how many calls the worker leaves behind for the others."""
    return scripts.LEAVE.call((lane.calls, lane.workers), GROUP, worker_id)
