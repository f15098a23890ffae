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
from tests.workers.calls import ENDED, LANE, announce, append, audio, eventually, within
from workers.agent import Agent
from workers.agents.echo import Echo
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
    async def run(agent: type[Agent] = Echo, **settings: float) -> AsyncIterator[Running]:
        base = WorkerSettings(redis_url=redis_url, namespace="test", redis_timeout_ms=2000)
        worker = Worker(structs.replace(base, **settings), agent)
        running = Running(worker)
        try:
            await eventually(lambda: worker.is_answering)
            yield running
        finally:
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)

    return run


async def test_a_worker_without_calls_stops_at_once(worker: OpenWorker, redis: Redis) -> None:
    async with worker() as running:
        await eventually(lambda: redis_has_group(redis))
        loop = asyncio.get_running_loop()
        told_at = loop.time()
        running.stopping.set()
        await within(running.task)
        assert loop.time() - told_at < 1.0
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
    assert await redis.keys() == [LANE.calls]
    assert await redis.xinfo_consumers(LANE.calls, GROUP) == []


async def is_gone(redis: Redis, key: bytes) -> bool:
    return not await redis.exists(key)


async def is_reading_no_more(redis: Redis) -> bool:
    return int((await redis.info("clients"))["blocked_clients"]) == 0


async def is_claimed(redis: Redis, key: bytes) -> bool:
    return bool(await redis.hget(key, "token"))


async def test_a_stopping_worker_waits_for_its_calls_and_takes_no_more(
    worker: OpenWorker, link: Link, redis: Redis
) -> None:
    async with worker() as running:
        first = await announce(link, "first")
        await eventually(lambda: is_claimed(redis, first.call))
        running.stopping.set()
        await eventually(lambda: running.worker._capacity._is_closed)
        # The read that waits may still bring one call; what comes after it is left alone.
        await announce(link, "second")
        await eventually(lambda: is_reading_no_more(redis))
        third = await announce(link, "third")
        assert not running.task.done()
        for call_id in ("first", "second"):
            await append(link, LANE.keys(call_id), ENDED)
        await within(running.task)
        assert await redis.hget(third.call, "token") == b""


async def test_calls_that_do_not_end_in_time_are_left_behind(
    worker: OpenWorker, link: Link, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with worker(drain_timeout_s=0.2) as running:
        keys = await announce(link, "c1")
        await eventually(lambda: is_claimed(redis, keys.call))
        running.stopping.set()
        await within(running.task)
    assert await redis.exists(keys.call, keys.events) == 2
    assert (await redis.xpending(LANE.calls, GROUP))["pending"] == 1
    assert "calls are left behind" in caplog.text


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
