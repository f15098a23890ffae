from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from common import membership
from common.bus import Claim
from common.keys import GROUP, CallKeys
from common.link import Link
from common.metrics import REDIS_FAULTS
from common.writer import Writer
from tests.waiting import Starvation
from tests.workers.calls import LANE, announce, eventually, within
from workers.ownership.capacity import Capacity
from workers.ownership.claims import Claims
from workers.ownership.dispatch import Dispatch
from workers.ownership.intake import Intake

WORKER = "worker-1"


class Taker:
    """An intake at work, and what it has claimed."""

    def __init__(self, link: Link, writer: Writer, name: str, capacity: Capacity) -> None:
        self.claimed: list[str] = []
        self.tokens: list[str] = []
        self.capacity = capacity
        self.ours: list[str] = []
        claims = Claims(
            LANE, name, writer, capacity, self._on_claimed, lambda _, token: self.ours.append(token)
        )
        self.intake = Intake(Dispatch(LANE, name, link, claims), capacity)
        self.running = asyncio.create_task(self.intake.run())

    def _on_claimed(self, keys: CallKeys, token: str, claim: Claim) -> None:
        self.claimed.append(keys.call_id)
        self.tokens.append(token)

    async def has(self, *call_ids: str) -> None:
        await eventually(lambda: sorted(self.claimed) == sorted(call_ids))


OpenTaker = Callable[..., AbstractAsyncContextManager[Taker]]


@pytest.fixture
async def taking(redis_url: str, writer: Writer) -> OpenTaker:
    @asynccontextmanager
    async def take(name: str = WORKER, calls: int = 10) -> AsyncIterator[Taker]:
        link = Link(redis_url, timeout_s=10.0)
        taker = Taker(link, writer, name, Capacity(calls))
        try:
            yield taker
            taker.capacity.close()
            await within(taker.running)
        finally:
            taker.running.cancel()
            await link.close()

    return take


async def hand_over(redis: Redis) -> None:
    """Redis gives the next call to WORKER, who does not hear of it."""
    assert await redis.xreadgroup(GROUP.decode(), WORKER, {LANE.calls: ">"})


def pending(redis: Redis) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return int((await redis.xpending(LANE.calls, GROUP))["pending"])

    return count


async def test_calls_are_taken_and_each_once(taking: OpenTaker, link: Link) -> None:
    async with taking() as taker:
        for number in range(5):
            await announce(link, f"c{number}")
        await taker.has("c0", "c1", "c2", "c3", "c4")
        assert len(set(taker.tokens)) == 5


async def test_calls_announced_before_the_first_worker_came_are_taken(
    taking: OpenTaker, link: Link
) -> None:
    await announce(link, "early")
    async with taking() as taker:
        await taker.has("early")


async def test_a_full_worker_takes_no_more_until_a_call_has_ended(
    taking: OpenTaker, link: Link, redis: Redis
) -> None:
    async with taking(calls=2) as taker:
        for number in range(4):
            await announce(link, f"c{number}")
        await taker.has("c0", "c1")
        assert taker.capacity.running == 2
        assert await pending(redis)() == 2  # the others are there for another worker
        taker.capacity.give_back()
        await taker.has("c0", "c1", "c2")


async def test_one_call_at_a_time_leaves_calls_for_other_workers(
    taking: OpenTaker, link: Link
) -> None:
    for number in range(8):
        await announce(link, f"c{number}")
    async with taking("worker-1", 4) as first, taking("worker-2", 4) as second:
        await eventually(lambda: len(first.claimed) == len(second.claimed) == 4)
        assert not set(first.claimed) & set(second.claimed)


async def test_a_missing_group_is_made_again_and_nothing_announced_since_is_missed(
    taking: OpenTaker, link: Link, redis: Redis
) -> None:
    async with taking() as taker:
        await announce(link, "before")
        await taker.has("before")
        await redis.flushall()
        await announce(link, "after")
        await taker.has("before", "after")


async def test_an_entry_lost_on_the_way_is_found_after_a_fault(
    taking: OpenTaker, link: Link, redis: Redis
) -> None:
    async with taking() as taker:
        await announce(link, "first")
        await taker.has("first")
        taker.capacity._limit = 1  # so that it does not listen while its entry is handed over
        taker.capacity._update()
        await eventually(lambda: _is_idle(redis))
        await announce(link, "lost")
        await hand_over(redis)
        taker.capacity._limit = 10
        taker.capacity._update()
        await eventually(lambda: _is_blocked(redis))
        assert "lost" not in taker.claimed
        await redis.client_kill_filter(_type="normal", skipme=True)
        await link.close()
        await taker.has("first", "lost")


async def _is_blocked(redis: Redis) -> bool:
    return int((await redis.info("clients"))["blocked_clients"]) > 0


async def _is_idle(redis: Redis) -> bool:
    return not await _is_blocked(redis)


async def test_a_running_call_that_is_seen_again_is_left_alone(
    taking: OpenTaker, link: Link, redis: Redis
) -> None:
    async with taking() as taker:
        keys = await announce(link, "c1")
        await taker.has("c1")
        await eventually(lambda: _is_blocked(redis))
        await redis.client_kill_filter(_type="normal", skipme=True)  # makes it look back
        await link.close()
        await announce(link, "c2")
        await taker.has("c1", "c2")
        assert await redis.hget(keys.call, "token") == taker.tokens[0].encode()
        await eventually(lambda: taker.ours == taker.tokens[:1])
        await eventually(lambda: taker.capacity.running == 2)


async def test_a_call_that_another_owns_is_left_to_it(
    taking: OpenTaker, link: Link, redis: Redis
) -> None:
    keys = await announce(link, "owned")
    await redis.hset(keys.call, "token", "worker-2:1")
    await link.execute([membership.renew_worker(LANE, "worker-2", lease_ms=60_000)])
    async with taking() as taker:
        await eventually(lambda: _is_pending(redis, 1))
        await eventually(lambda: taker.capacity.running == 0)
        assert not taker.claimed
    assert await redis.hget(keys.call, "token") == b"worker-2:1"
    assert await redis.xlen(LANE.calls) == 1


async def test_an_entry_of_a_call_that_has_ended_is_dropped(
    taking: OpenTaker, link: Link, redis: Redis
) -> None:
    keys = await announce(link, "gone")
    await redis.delete(keys.call, keys.events)

    async def is_empty() -> bool:
        return bool(await redis.xlen(LANE.calls) == 0)

    async with taking() as taker:
        await eventually(is_empty)
        await eventually(lambda: _is_pending(redis, 0))
        await eventually(lambda: taker.capacity.running == 0)
        assert not taker.claimed


async def _is_pending(redis: Redis, count: int) -> bool:
    if not await redis.exists(LANE.calls):
        return False
    groups = await redis.xinfo_groups(LANE.calls)
    return bool(groups) and await pending(redis)() == count


async def test_a_claim_that_redis_refuses_gives_the_room_back(
    taking: OpenTaker, link: Link, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    keys = await announce(link, "bad")
    await redis.delete(keys.call)
    await redis.set(keys.call, "no hash")
    async with taking() as taker:
        await eventually(lambda: "cannot claim" in caplog.text)
        await eventually(lambda: taker.capacity.running == 0)
        await announce(link, "good")
        await taker.has("good")


async def test_it_stops_soon_after_the_capacity_was_closed(taking: OpenTaker, link: Link) -> None:
    async with taking() as taker:
        await announce(link, "c1")
        await taker.has("c1")
        loop = asyncio.get_running_loop()
        closed_at, starvation = loop.time(), Starvation()
    assert loop.time() - closed_at < 2.0 + starvation.seconds


async def test_without_redis_it_keeps_trying(tmp_path: Path, writer: Writer) -> None:
    link = Link(f"unix://{tmp_path}/nobody.sock", timeout_s=0.1)
    faults = REDIS_FAULTS.labels("take")._value
    before = faults.get()
    taker = Taker(link, writer, WORKER, Capacity(1))
    await eventually(lambda: faults.get() >= before + 2)
    taker.capacity.close()
    await within(taker.running)
