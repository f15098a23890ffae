"""The verbs between edges and workers, spoken to a real Redis for one call, `CALL`."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from common import bus, membership
from common.bus import (
    Claim,
    ClaimRefusal,
    Commit,
    CommitAnswer,
    RestoreAnswer,
    Restored,
    Taken,
)
from common.keys import GROUP, CallKeys, lanes
from common.link import Link, Request

__all__ = ["CALL", "FRESH", "LANE", "Bus", "held_by", "keys_of_calls", "stored"]

LANE = lanes("test", 1)[0]
CALL = LANE.keys("c1")
FRESH = Claim(commit=0, cursor=0, partial=0, out=0, state=b"", start=b"first", edge_id="edge-1")


class Bus:
    """An edge and a worker in one, speaking to Redis over a real link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def ask(self, request: Request) -> Any:
        (reply,) = await self._link.execute([request])
        return reply

    async def announce(
        self, keys: CallKeys = CALL, *, read_up_to: int = 0, keep_ms: int = 0
    ) -> Any:
        return await self.ask(
            bus.announce(keys, "edge-1", b"first", read_up_to=read_up_to, keep_ms=keep_ms)
        )

    async def live(self, worker_id: str) -> None:
        await self.ask(membership.renew_worker(LANE, worker_id, lease_ms=60_000))

    async def die(self, worker_id: str) -> None:
        await self.ask((b"ZADD", LANE.workers, 1, worker_id))

    async def claim(self, token: str = "w1:1", *, suspects: bool = False) -> Claim | ClaimRefusal:
        return bus.read_claim(await self.ask(bus.claim(CALL, token, suspects=suspects)))

    async def restore(
        self,
        number: int,
        *commands: bytes,
        first: int = 1,
        cursor: int = 1,
        partial: int = 0,
        state: bytes = b"",
        token: str = "w1:1",
    ) -> RestoreAnswer:
        known = Restored(number, cursor, partial, state, first, commands)
        request = bus.restore(CALL, token, known, lease_ms=60_000)
        return bus.read_restore(await self.ask(request))

    async def release(self, token: str = "w1:1") -> Any:
        return await self.ask(bus.release(CALL, token))

    async def commit(
        self,
        number: int,
        *commands: bytes,
        cursor: int = 1,
        partial: int = 0,
        state: bytes | None = None,
        token: str = "w1:1",
    ) -> CommitAnswer:
        step = Commit(number, cursor, partial, state, commands)
        return bus.read_commit(await self.ask(bus.commit(CALL, token, step)))

    async def finish(self, token: str = "w1:1") -> Any:
        return await self.ask(bus.finish(CALL, token))

    async def take(self, consumer: str = "w1") -> list[Taken]:
        return bus.read_taken(await self.ask(bus.take(LANE, consumer, block_ms=1)))


async def stored(redis: Redis, stream: bytes) -> list[tuple[bytes, bytes]]:
    entries: Any = await redis.xrange(stream)
    return [(entry_id, fields[b"e"]) for entry_id, fields in entries]


async def held_by(redis: Redis) -> list[str]:
    """Who holds the entries of dispatch that were handed over, in order."""
    pending: Any = await redis.xpending_range(LANE.calls, GROUP, "-", "+", 10)
    return [entry["consumer"].decode() for entry in pending]


async def keys_of_calls(redis: Redis) -> list[bytes]:
    """Every key but those that live for ever."""
    keys: Any = await redis.keys()
    return [key for key in keys if key not in (LANE.calls, LANE.workers, LANE.ended)]
