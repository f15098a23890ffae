"""Every Redis key, its type, its life and its meaning.

    {<namespace>:<lane>}:calls      stream   one entry per unfinished call; group `workers`; lives
                                             for ever, empty when no call lives
    {<namespace>:<lane>}:workers    zset     worker -> end of its lease, ms of Redis time
    {<namespace>:<lane>}:edges      zset     edge -> end of its lease, ms of Redis time
    {<namespace>:<lane>}:ended      zset     call -> when its end may be forgotten, s of Redis time
    {<namespace>:<lane>}:call:<id>  hash     who owns the call and how far it has come
    {<namespace>:<lane>}:in:<id>    stream   events, entry id <seq>-0 given by the edge
    {<namespace>:<lane>}:out:<id>   stream   commands, entry id <seq>-0 given by the commit script

Rule 1: all keys of a lane share one hash tag, so they lie on one node of a cluster.
Rule 2: <id> is made by the edge. What a provider calls a call never becomes part of a key.
Rule 3: the three keys of a call are deleted by the script that ends it; `TTL_S` is the dead man's
        switch, should nobody be left to run it.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

__all__ = ["ENDED_S", "FIELD", "GROUP", "TTL_S", "CallKeys", "Lane", "lane_of", "lanes"]

#: Consumer group of every `calls` stream.
GROUP = b"workers"
#: The only field of an entry in `calls`, `in` and `out`.
FIELD = b"e"
#: Seconds after which the keys of a call vanish if nobody commits any more.
TTL_S = 3600
#: Seconds for which the end of a call is remembered: longer than an edge that was away holds it.
ENDED_S = 300


class CallKeys(NamedTuple):
    """The keys of one call, and of the lane it is on."""

    call_id: str
    calls: bytes
    workers: bytes
    ended: bytes
    call: bytes
    events: bytes
    commands: bytes


class Lane(NamedTuple):
    number: int
    tag: str

    @property
    def calls(self) -> bytes:
        return f"{self.tag}:calls".encode()

    @property
    def workers(self) -> bytes:
        return f"{self.tag}:workers".encode()

    @property
    def edges(self) -> bytes:
        return f"{self.tag}:edges".encode()

    @property
    def ended(self) -> bytes:
        return f"{self.tag}:ended".encode()

    def keys(self, call_id: str) -> CallKeys:
        tag = self.tag
        return CallKeys(
            call_id,
            self.calls,
            self.workers,
            self.ended,
            f"{tag}:call:{call_id}".encode(),
            f"{tag}:in:{call_id}".encode(),
            f"{tag}:out:{call_id}".encode(),
        )


def lanes(namespace: str, count: int) -> list[Lane]:
    return [Lane(number, f"{{{namespace}:{number}}}") for number in range(count)]


def lane_of(call_id: str, all_lanes: list[Lane]) -> Lane:
    return all_lanes[zlib.crc32(call_id.encode()) % len(all_lanes)]
