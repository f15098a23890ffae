from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common import bus
from common.errors import LinkError, ReplyError
from common.keys import GROUP
from common.link import Link
from common.writer import Writer
from tests.chaos_proxy import ChaosProxy
from tests.workers.calls import LANE, announce, eventually
from workers.ownership.capacity import Capacity
from workers.ownership.claims import Claims
from workers.ownership.dispatch import Dispatch

ME, OTHER = "worker-1", "worker-2"


class Bench:
    """A dispatch behind a network that fails on request, and what has come of it."""

    def __init__(self, proxy: ChaosProxy, writer: Writer) -> None:
        self.owned: list[str] = []
        self.proxy = proxy
        self.link = Link(proxy.url, timeout_s=10.0)
        claims = Claims(
            LANE,
            ME,
            writer,
            Capacity(10),
            lambda keys, *_: self.owned.append(keys.call_id),
            lambda *_: None,
        )
        self.dispatch = Dispatch(LANE, ME, self.link, claims)

    async def has(self, *call_ids: str) -> None:
        await eventually(lambda: sorted(self.owned) == sorted(call_ids))


@pytest.fixture
async def bench(redis_url: str, writer: Writer) -> AsyncIterator[Bench]:
    async with ChaosProxy.in_front_of(redis_url) as proxy:
        bench = Bench(proxy, writer)
        await bench.dispatch.create_group()
        yield bench
        await bench.link.close()


async def pending(redis: Redis, consumer: str) -> int:
    consumers = await redis.xinfo_consumers(LANE.calls, GROUP.decode())
    return sum(each["pending"] for each in consumers if each["name"] == consumer.encode())


async def test_a_new_call_is_taken(bench: Bench, link: Link) -> None:
    await announce(link, "c1")
    await announce(link, "c2")
    await bench.dispatch.take(block_ms=1)
    await bench.has("c1")
    await bench.dispatch.take(block_ms=1)
    await bench.has("c1", "c2")


async def test_where_none_comes_in_time_nothing_is_taken(bench: Bench) -> None:
    await bench.dispatch.take(block_ms=1)
    assert bench.owned == []


async def test_calls_of_a_dead_worker_are_adopted(bench: Bench, link: Link) -> None:
    for name in ("c1", "c2", "c3"):
        await announce(link, name)
        await link.execute([bus.take(LANE, OTHER, block_ms=1)])
    assert await bench.dispatch.adopt(OTHER, at_most=2) == 2
    assert await bench.dispatch.adopt(OTHER, at_most=2) == 1
    assert await bench.dispatch.adopt(OTHER, at_most=2) == 0
    await bench.has("c1", "c2", "c3")


async def test_what_was_taken_without_our_hearing_of_it_is_found(
    bench: Bench, link: Link, redis: Redis
) -> None:
    await announce(link, "c1")
    bench.proxy.drop_next_reply(to=b"XREADGROUP")
    with pytest.raises(LinkError):
        await bench.dispatch.take(block_ms=1)
    assert await pending(redis, ME) == 1
    await bench.dispatch.take(block_ms=1)
    await bench.has("c1")


async def test_what_was_adopted_without_our_hearing_of_it_is_found(
    bench: Bench, link: Link, redis: Redis
) -> None:
    await announce(link, "c1")
    await link.execute([bus.take(LANE, OTHER, block_ms=1)])
    bench.proxy.drop_next_reply(to=b"EVALSHA")
    with pytest.raises(LinkError):
        await bench.dispatch.adopt(OTHER, at_most=2)
    assert await pending(redis, ME) == 1
    await bench.dispatch.look_back()
    await bench.has("c1")


async def test_without_a_fault_nobody_looks_back(bench: Bench, link: Link, redis: Redis) -> None:
    await announce(link, "c1")
    await link.execute([bus.take(LANE, ME, block_ms=1)])
    await bench.dispatch.look_back()
    await bench.dispatch.take(block_ms=1)
    assert bench.owned == []


async def test_a_missing_group_is_told_and_nothing_is_in_doubt(bench: Bench, redis: Redis) -> None:
    await redis.delete(LANE.calls)
    with pytest.raises(ReplyError) as refused:
        await bench.dispatch.take(block_ms=1)
    assert bus.is_group_missing(refused.value)
    await bench.dispatch.create_group()
    await bench.dispatch.take(block_ms=1)
