from __future__ import annotations

import math

import pytest
from redis.asyncio import Redis

from common import bus, membership
from common.keys import GROUP
from common.link import Link
from common.writer import Writer
from tests.workers.calls import LANE, announce, eventually
from workers import metrics
from workers.ownership.capacity import Capacity
from workers.ownership.claims import Claims
from workers.ownership.dispatch import Dispatch
from workers.ownership.takeover import Takeover

ME, OTHER = "worker-1", "worker-2"


@pytest.fixture
def owned() -> list[str]:
    return []


@pytest.fixture
def takeover(link: Link, writer: Writer, owned: list[str]) -> Takeover:
    capacity = Capacity(100)
    claims = Claims(
        LANE, ME, writer, capacity, lambda keys, *_: owned.append(keys.call_id), lambda *_: None
    )
    return Takeover(Dispatch(LANE, ME, link, claims), capacity)


async def calls_of_other(link: Link, count: int) -> list[str]:
    await link.execute([bus.create_group(LANE)])
    call_ids = [f"c{number}" for number in range(count)]
    for call_id in call_ids:
        keys = await announce(link, call_id)
        take = bus.take(LANE, OTHER, block_ms=1)
        await link.execute([take, bus.claim(keys, f"{OTHER}:1")])
    return call_ids


async def test_all_calls_of_a_dead_worker_are_taken_and_it_is_forgotten(
    takeover: Takeover, owned: list[str], link: Link, redis: Redis
) -> None:
    call_ids = await calls_of_other(link, 11)
    before = metrics.TAKEOVERS._value.get()
    await takeover.of([OTHER], until=math.inf)
    await eventually(lambda: sorted(owned) == sorted(call_ids))
    assert metrics.TAKEOVERS._value.get() == before + 11
    consumers = await redis.xinfo_consumers(LANE.calls, GROUP.decode())
    assert [(each["name"], each["pending"]) for each in consumers] == [(ME.encode(), 11)]


async def test_a_worker_that_lives_keeps_its_calls(
    takeover: Takeover, owned: list[str], link: Link
) -> None:
    await calls_of_other(link, 2)
    await link.execute([membership.renew_worker(LANE, OTHER, lease_ms=60_000)])
    await takeover.of([OTHER], until=math.inf)
    assert owned == []


async def test_without_a_dispatch_stream_there_is_nothing_to_take(
    takeover: Takeover, owned: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await takeover.of([OTHER], until=math.inf)
    assert owned == []
    assert "cannot take over" not in caplog.text


async def test_refusal_of_redis_is_logged(
    takeover: Takeover, owned: list[str], redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set(LANE.calls, "no dispatch")
    await takeover.of([OTHER], until=math.inf)
    assert owned == []
    assert "cannot take over" in caplog.text


async def test_what_is_left_when_the_time_is_over_is_left_for_the_next_time(
    takeover: Takeover, owned: list[str], link: Link, redis: Redis
) -> None:
    await calls_of_other(link, 10)
    await redis.zadd(LANE.workers, {OTHER: 1})
    await takeover.of([OTHER], until=0.0)
    await eventually(lambda: len(owned) == 4)
    assert await redis.zscore(LANE.workers, OTHER) == 1
    await takeover.of([OTHER], until=math.inf)
    await eventually(lambda: len(owned) == 10)
