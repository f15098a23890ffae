from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from msgspec import structs
from redis.asyncio import Redis

from common.bus import Claim
from common.keys import GROUP, lane_of, lanes
from common.link import Link
from tests.chaos_proxy import ChaosProxy
from tests.waiting import Starvation
from tests.workers.calls import ENDED, LANE, announce, append, audio, eventually, within
from workers.agent import Agent
from workers.agents.echo import Echo
from workers.call import Call
from workers.settings import WorkerSettings
from workers.worker import Worker


class Running:
    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.stopping = asyncio.Event()
        self.task = asyncio.create_task(worker.run(self.stopping))


OpenWorker = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
async def worker(redis_url: str) -> OpenWorker:
    @asynccontextmanager
    async def run(
        agent: type[Agent] = Echo, url: str = redis_url, **settings: float
    ) -> AsyncIterator[Running]:
        base = WorkerSettings(redis_url=url, namespace="test", redis_timeout_ms=2000)
        worker = Worker(structs.replace(base, **settings), agent)
        running = Running(worker)
        try:
            await eventually(lambda: worker._lanes[0]._writer.is_answering)
            yield running
        finally:
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)

    return run


async def test_a_worker_without_calls_stops_at_once(worker: OpenWorker, redis: Redis) -> None:
    async with worker() as running:
        await eventually(lambda: redis_has_group(redis))
        loop = asyncio.get_running_loop()
        told_at, starvation = loop.time(), Starvation()
        running.stopping.set()
        await within(running.task)
        assert loop.time() - told_at < 1.0 + starvation.seconds
    assert await redis.keys() == [LANE.calls]


async def redis_has_group(redis: Redis) -> bool:
    return bool(await redis.exists(LANE.calls))


async def test_a_call_taken_run_and_finished_leaves_the_dispatch_stream_alone(
    worker: OpenWorker, link: Link, redis: Redis
) -> None:
    async with worker() as running:
        keys = await announce(link, "c1")
        await append(link, keys, *[audio(number) for number in range(1, 60)], ENDED)
        await eventually(lambda: is_gone(redis, keys.call))
        assert await redis.xlen(LANE.calls) == 0
        assert len(await redis.xinfo_consumers(LANE.calls, GROUP)) == 1
        running.stopping.set()
        await within(running.task)
    assert set(await redis.keys()) == {LANE.calls, LANE.ended}
    assert await redis.xinfo_consumers(LANE.calls, GROUP) == []


async def is_gone(redis: Redis, key: bytes) -> bool:
    return not await redis.exists(key)


async def is_claimed(redis: Redis, key: bytes) -> bool:
    return bool(await redis.hget(key, "token"))


async def test_a_stopping_worker_hands_its_calls_over_and_takes_no_more(
    worker: OpenWorker, link: Link, redis: Redis
) -> None:
    async with worker() as running:
        first = await announce(link, "first")
        await append(link, first, audio(1))
        await eventually(lambda: is_claimed(redis, first.call))
        running.stopping.set()
        await within(running.task)
    assert await redis.hget(first.call, "token") == b""
    assert (await redis.xpending(LANE.calls, GROUP))["pending"] == 0
    assert await redis.xlen(LANE.calls) == 1
    assert await redis.exists(LANE.workers) == 0


async def test_a_handler_that_goes_on_does_not_hold_the_handover(
    worker: OpenWorker, link: Link, redis: Redis
) -> None:
    class Slow(Agent):
        async def on_start(self, call: Call) -> None:
            await call.mark("begun")
            await asyncio.Event().wait()

    async with worker(Slow) as running:
        keys = await announce(link, "c1")
        await eventually(lambda: has_commands(redis, keys.commands, 1))
        loop = asyncio.get_running_loop()
        told_at, starvation = loop.time(), Starvation()
        running.stopping.set()
        await within(running.task)
        assert loop.time() - told_at < 2.0 + starvation.seconds
    assert await redis.hmget(keys.call, "token", "cursor", "partial") == [b"", b"0", b"1"]


async def has_commands(redis: Redis, key: bytes, count: int) -> bool:
    return int(await redis.xlen(key)) == count


async def test_calls_of_every_lane_are_run(worker: OpenWorker, link: Link, redis: Redis) -> None:
    all_lanes = lanes("test", 3)
    async with worker(lanes=3):
        for number in range(12):
            call_id = f"c{number}"
            lane = lane_of(call_id, all_lanes)
            keys = await announce(link, call_id, lane=lane)
            await append(link, keys, audio(), ENDED)
            await eventually(lambda: is_gone(redis, keys.call))  # noqa: B023 - awaited here


async def test_a_failure_of_ours_stops_the_process_s_work(
    worker: OpenWorker, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a worker is worse than none: it must end, so that it is started anew."""
    async with worker() as running:

        def broken(*_: object) -> Claim:
            raise RuntimeError("a bug of ours")

        monkeypatch.setattr("common.bus.read_claim", broken)
        await announce(link, "c1")
        with pytest.raises(RuntimeError, match="a bug of ours"):
            await within(running.task)


@pytest.mark.parametrize("fault", ["away", "silent"])
async def test_without_redis_a_stopping_worker_leaves_its_calls_behind_in_time(
    worker: OpenWorker, link: Link, redis: Redis, redis_url: str, fault: str
) -> None:
    """Nothing is lost: its lease runs out, and others take over."""
    async with (
        ChaosProxy.in_front_of(redis_url) as proxy,
        worker(url=proxy.url, drain_timeout_s=0.2) as running,
    ):
        keys = await announce(link, "c1")
        await eventually(lambda: is_claimed(redis, keys.call))
        if fault == "away":
            await proxy.go_away()
        else:
            proxy.stall()
        running.stopping.set()
        await within(running.task)
        proxy.resume()
    assert (await redis.xpending(LANE.calls, GROUP))["pending"] == 1
    assert await redis.exists(LANE.workers) == 1


async def test_a_worker_without_calls_does_not_wait_long_for_a_redis_that_is_away(
    worker: OpenWorker, redis_url: str
) -> None:
    async with (
        ChaosProxy.in_front_of(redis_url) as proxy,
        worker(url=proxy.url, drain_timeout_s=3600) as running,
    ):
        await proxy.go_away()
        running.stopping.set()
        await within(running.task)


async def test_a_lane_without_redis_does_not_keep_the_last_room_from_the_others(
    worker: OpenWorker, link: Link, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lanes, room for one call; the dispatch of one lane cannot be read."""
    monkeypatch.setattr("workers.ownership.intake._RETRY_S", 60.0)
    all_lanes = lanes("test", 2)
    await redis.set(all_lanes[0].calls, "no stream")
    async with worker(lanes=2, worker_calls=1):
        call_id = next(
            name for name in map(str, range(99)) if lane_of(name, all_lanes) == all_lanes[1]
        )
        keys = await announce(link, call_id, lane=all_lanes[1])
        await eventually(lambda: is_claimed(redis, keys.call))
