"""What Redis really holds of a lane, to be compared with `tests.common.lane_model`; and how to
set a whole lane back to what it was, as a failover does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from common.errors import ReplyError
from common.keys import GROUP, CallKeys, Lane
from common.link import Request

__all__ = ["Dump", "LaneProbe", "Seen", "SeenCall"]


class SeenCall(NamedTuple):
    facts: dict[str, bytes]
    events: list[int]
    commands: list[tuple[int, bytes]]


class Seen(NamedTuple):
    """`dispatch`: call, its entry's id, and who holds it. `undelivered` and `pending` as the group
    counts them. `lives_ms`: every key -> how long it will be there, -1 for ever."""

    now_ms: int
    calls: dict[str, SeenCall]
    dispatch: list[tuple[str, bytes, str | None]]
    undelivered: int
    pending: int
    leases: dict[str, float]
    ended: set[str]
    lives_ms: dict[bytes, int]


Dump = dict[bytes, tuple[int, bytes]]


class LaneProbe:
    """`client` speaks RESP 3."""

    def __init__(self, client: redis.Redis, lane: Lane) -> None:
        self._client = client
        self._lane = lane

    def ask(self, request: Request) -> Any:
        """An error of Redis is an answer, as it is with a link."""
        (reply,) = self.ask_all([request])
        return ReplyError(str(reply)) if isinstance(reply, redis.ResponseError) else reply

    def ask_at_once(self, request: Request) -> Any:
        """In a transaction nothing blocks; outside, 1 ms may well last 100."""
        *_, (reply,) = self.ask_all([(b"MULTI",), request, (b"EXEC",)])
        return ReplyError(str(reply)) if isinstance(reply, redis.ResponseError) else reply

    def ask_all(self, requests: Sequence[Request]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        for request in requests:
            pipe.execute_command(*request)  # type: ignore[no-untyped-call]
        return list(pipe.execute(raise_on_error=False))

    def now_ms(self) -> int:
        return _ms(self.ask((b"TIME",)))

    def empty(self) -> None:
        self._client.flushdb()

    def dump(self) -> Dump:
        names: Any = self._client.keys()
        replies = self.ask_all([(verb, name) for name in names for verb in (b"PTTL", b"DUMP")])
        return {
            name: (max(0, ttl), data)
            for name, ttl, data in zip(names, replies[::2], replies[1::2], strict=True)
        }

    def set_back(self, dump: Dump) -> None:
        """And from now on, to the calls, this is another server, and not the first such."""
        self._client.flushdb()
        self.ask_all([(b"RESTORE", name, ttl, data) for name, (ttl, data) in dump.items()])
        calls = [name for name in dump if b":call:" in name]
        self.ask_all([(b"HSET", name, b"awaited", b"feed 1") for name in calls])
        self.ask_all([(b"HSET", name, b"server", b"another") for name in calls])

    def server(self) -> bytes:
        """As the calls know it."""
        facts: Any = self._client.info("server")
        return str(facts["run_id"]).encode()

    def look(self) -> Seen:
        calls = self._lane.calls
        time, entries, pending, groups, leases, ended, names = self.ask_all(
            [
                (b"TIME",),
                (b"XRANGE", calls, b"-", b"+"),
                (b"XPENDING", calls, GROUP, b"-", b"+", 1000),
                (b"XINFO", b"GROUPS", calls),
                (b"ZRANGE", self._lane.workers, 0, -1, b"WITHSCORES"),
                (b"ZRANGE", self._lane.ended, 0, -1),
                (b"KEYS", b"*"),
            ]
        )
        holders = {} if isinstance(pending, Exception) else {p[0]: p[1].decode() for p in pending}
        last = groups[0][b"last-delivered-id"] if isinstance(groups, list) and groups else b"0-0"
        return Seen(
            now_ms=_ms(time),
            calls=self._calls([name for name in names if b":call:" in name]),
            dispatch=[(e[1][1].decode(), e[0], holders.get(e[0])) for e in entries],
            undelivered=sum(_order(e[0]) > _order(last) for e in entries),
            pending=len(holders),
            leases={name.decode(): score for name, score in leases},
            ended={name.decode() for name in ended},
            lives_ms=dict(
                zip(names, self.ask_all([(b"PTTL", name) for name in names]), strict=True)
            ),
        )

    def _calls(self, names: Sequence[bytes]) -> dict[str, SeenCall]:
        all_keys = [self._lane.keys(name.decode().rpartition(":")[2]) for name in names]
        replies = self.ask_all([request for keys in all_keys for request in _requests(keys)])
        threes = zip(replies[::3], replies[1::3], replies[2::3], strict=True)
        return {
            keys.call_id: _seen_call(*found) for keys, found in zip(all_keys, threes, strict=True)
        }


def _requests(keys: CallKeys) -> list[Request]:
    return [
        (b"HGETALL", keys.call),
        (b"XRANGE", keys.events, b"-", b"+"),
        (b"XRANGE", keys.commands, b"-", b"+"),
    ]


def _seen_call(facts: Any, events: Any, commands: Any) -> SeenCall:
    return SeenCall(
        {name.decode(): value for name, value in facts.items()},
        [_sequence(entry) for entry in events],
        [(_sequence(entry), entry[1][1]) for entry in commands],
    )


def _ms(time: Any) -> int:
    seconds, micros = time
    return int(seconds) * 1000 + int(micros) // 1000


def _sequence(entry: Any) -> int:
    return int(entry[0].partition(b"-")[0])


def _order(entry_id: bytes) -> tuple[int, int]:
    ms, _, sequence = entry_id.partition(b"-")
    return int(ms), int(sequence)
