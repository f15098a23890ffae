from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common.keys import lanes
from common.link import Link
from common.process import background
from common.writer import Writer
from edge.lease import Lease
from tests.chaos_proxy import ChaosProxy
from tests.waiting import until

LANE = lanes("lease", 1)[0]


@pytest.fixture
async def writer(proxy: ChaosProxy) -> AsyncIterator[Writer]:
    link = Link(proxy.url, timeout_s=5.0)
    writer = Writer(link, tick_s=0.001)
    async with background(writer.run()):
        yield writer
    await link.close()


async def ends_at(redis: Redis) -> float:
    """Ms of Redis time; 0 when there is no lease."""
    return await redis.zscore(LANE.edges, "edge-1") or 0.0


async def test_lease_is_taken_at_once_and_renewed(writer: Writer, redis: Redis) -> None:
    lease = Lease(writer, LANE, "edge-1", lease_ms=100)
    async with background(lease.run()):

        async def is_there() -> bool:
            return await ends_at(redis) > 0

        await until(is_there)
        first = await ends_at(redis)

        async def is_renewed() -> bool:
            return await ends_at(redis) > first

        await until(is_renewed)
    await writer.flushed()
    seconds, microseconds = await redis.time()
    assert await ends_at(redis) <= seconds * 1000 + microseconds / 1000 + 100


async def test_edge_that_has_left_is_forgotten_and_does_not_come_back(
    writer: Writer, redis: Redis
) -> None:
    lease = Lease(writer, LANE, "edge-1", lease_ms=60_000)
    lease.renew()
    await writer.flushed()
    assert await ends_at(redis)
    lease.end()
    lease.renew()
    await writer.flushed()
    assert not await ends_at(redis)


async def test_one_renewal_at_most_waits_for_redis(
    writer: Writer, redis: Redis, proxy: ChaosProxy
) -> None:
    lease = Lease(writer, LANE, "edge-1", lease_ms=60_000)
    await writer.flushed()
    await proxy.go_away()
    for _ in range(100):
        lease.renew()
    stats = await redis.info("commandstats")
    before = stats.get("cmdstat_evalsha", {}).get("calls", 0)
    await proxy.come_back()
    await writer.flushed()
    stats = await redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == before + 1


async def test_refused_renewal_is_told_and_the_next_one_made(
    writer: Writer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    lease = Lease(writer, LANE, "edge-1", lease_ms=60_000)
    await redis.set(LANE.edges, "no leases")
    lease.renew()
    await writer.flushed()
    assert "lease" in caplog.text
    await redis.delete(LANE.edges)
    lease.renew()
    await writer.flushed()
    assert await ends_at(redis)
