from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common import membership
from common.errors import ReplyError
from common.keys import lanes
from common.link import Link
from common.membership import Look

LANE = lanes("membership", 1)[0]


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    link = Link(redis_url, timeout_s=2.0)
    yield link
    await link.close()


async def test_edge_that_renews_is_known_until_it_leaves(link: Link, redis: Redis) -> None:
    renew = membership.renew_edge(LANE, "e1", lease_ms=5000)
    for _ in range(2):
        await link.execute([renew])
    assert await redis.zcard(LANE.edges) == 1
    leave = membership.leave_edge(LANE, "e1")
    await link.execute([leave, leave])
    assert await redis.exists(LANE.edges) == 0


async def test_worker_learns_who_has_died(link: Link, redis: Redis) -> None:
    seconds, _ = await redis.time()
    await redis.zadd(LANE.workers, {"dead": 1})
    await redis.zadd(LANE.edges, {"gone": seconds * 1000 - 1, "long gone": 1})
    await link.execute([membership.renew_edge(LANE, "e1", lease_ms=5000)])
    (reply,) = await link.execute([membership.renew_worker(LANE, "w1", lease_ms=5000)])
    look = membership.read_look(reply)
    assert look == Look(look.now_ms, ["dead"], ["gone"])
    assert abs(look.now_ms / 1000 - seconds) < 5


def test_refusals_are_raised() -> None:
    for read in (membership.read_look, membership.read_adopted):
        with pytest.raises(ReplyError):
            read(ReplyError("WRONGTYPE"))
