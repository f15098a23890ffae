from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from redis.asyncio import Redis

from common import membership
from common.errors import LinkError
from common.link import Link
from ops import redis_server
from tests.chaos_proxy import ChaosProxy
from tests.waiting import Starvation
from tests.workers.calls import LANE, eventually
from workers.ownership.lease import Lease
from workers.running.gate import Gate
from workers.settings import WorkerSettings

ME = "worker-1"
LEASE_S = 0.4


class Ward:
    """Writes down what the lease asks for."""

    def __init__(self) -> None:
        self.verified: list[bool] = []
        self.taken_from: list[str] = []
        self.ended_of: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def verify(self, *, may_restore: bool) -> None:
        await self.may_answer.wait()
        self.verified.append(may_restore)

    async def take_over(self, dead_workers: list[str], *, until: float) -> None:
        self.taken_from += dead_workers

    def end_calls_of(self, dead_edges: list[str]) -> None:
        self.ended_of += dead_edges


class Holder:
    def __init__(self, link: Link, lease_s: float) -> None:
        self.ward = Ward()
        self.gate = Gate()
        settings = WorkerSettings(lease_ms=round(lease_s * 1000), edge_lease_ms=1000)
        self.lease = Lease(LANE, ME, link, self.gate, settings)
        self.task = asyncio.create_task(self.lease.run(self.ward))


OpenHolder = Callable[..., AbstractAsyncContextManager[Holder]]


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy.in_front_of(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def holding(redis_url: str) -> OpenHolder:
    @asynccontextmanager
    async def hold(url: str = redis_url, lease_s: float = LEASE_S) -> AsyncIterator[Holder]:
        link = Link(url, timeout_s=0.2)
        holder = Holder(link, lease_s)
        try:
            yield holder
        finally:
            holder.task.cancel()
            await asyncio.gather(holder.task, return_exceptions=True)
            await link.close()

    return hold


async def lease_ends(redis: Redis, name: str = ME) -> float | None:
    end: float | None = await redis.zscore(LANE.workers, name)
    return end


async def now_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


async def has_lease(redis: Redis) -> bool:
    return await lease_ends(redis) is not None


async def test_a_lease_is_taken_at_once_and_renewed(holding: OpenHolder, redis: Redis) -> None:
    async with holding() as holder:
        await eventually(lambda: has_lease(redis))
        first = await lease_ends(redis)
        assert first is not None

        async def is_longer() -> bool:
            end = await lease_ends(redis)
            return end is not None and end > first

        await eventually(is_longer)
        assert holder.gate.is_open
        assert holder.ward.verified == []


async def test_the_dead_are_reported_and_we_are_never_among_them(
    holding: OpenHolder, redis: Redis
) -> None:
    await redis.zadd(LANE.workers, {"worker-2": 1})
    await redis.zadd(LANE.edges, {"edge-1": time.time() * 1000 - 1000})
    async with holding() as holder:
        await eventually(lambda: "worker-2" in holder.ward.taken_from)
        assert holder.ward.ended_of == []  # edges are given more time
        await eventually(lambda: "edge-1" in holder.ward.ended_of)
        assert set(holder.ward.taken_from) == {"worker-2"}


async def test_a_lease_that_runs_out_is_noticed_at_once(holding: OpenHolder, redis: Redis) -> None:
    """And not at the next renewal: the calls of the dead wait for it."""
    async with holding(lease_s=2.0) as holder:
        waited_ms, starvation = [], Starvation()
        await redis.zadd(LANE.workers, {"worker-2": 1})
        for number in range(3, 6):
            # Right after a renewal: the next sees a lease that ends 50 ms later.
            await eventually(lambda: f"worker-{number - 1}" in holder.ward.taken_from)  # noqa: B023
            await redis.delete(LANE.workers)
            end_ms = await now_ms(redis) + 450
            await redis.zadd(LANE.workers, {f"worker-{number}": end_ms})
            await eventually(lambda: f"worker-{number}" in holder.ward.taken_from)  # noqa: B023
            waited_ms.append(await now_ms(redis) - end_ms)
        assert min(waited_ms) < 200 + 1000 * starvation.seconds


async def test_the_living_are_left_alone(holding: OpenHolder, redis: Redis, link: Link) -> None:
    await link.execute(
        [
            membership.renew_worker(LANE, "worker-2", lease_ms=3000),
            membership.renew_edge(LANE, "edge-1", lease_ms=60_000),
        ]
    )
    await redis.zadd(LANE.workers, {"worker-3": 1})
    async with holding() as holder:
        await eventually(lambda: len(holder.ward.taken_from) >= 3)
        assert set(holder.ward.taken_from) == {"worker-3"}
        assert holder.ward.ended_of == []


async def test_without_an_answer_the_gate_closes_and_opens_when_our_calls_are_known_to_be_ours(
    holding: OpenHolder, proxy: ChaosProxy, redis: Redis
) -> None:
    async with holding(proxy.url) as holder:
        await eventually(lambda: has_lease(redis))
        proxy.stall()
        stalled_at, starvation = asyncio.get_running_loop().time(), Starvation()
        await eventually(lambda: not holder.gate.is_open)
        took_s = asyncio.get_running_loop().time() - stalled_at
        assert took_s < 2 * LEASE_S + starvation.seconds
        holder.ward.may_answer.clear()
        proxy.resume()
        await eventually(lambda: bool(holder.lease._doubt) and proxy.connections > 1)
        assert not holder.gate.is_open
        holder.ward.may_answer.set()
        await eventually(lambda: holder.gate.is_open)
        assert set(holder.ward.verified) == {True}


async def test_nobody_is_judged_right_after_redis_was_away(
    holding: OpenHolder, proxy: ChaosProxy, redis: Redis
) -> None:
    async with holding(proxy.url) as holder:
        await eventually(lambda: has_lease(redis))
        await redis.zadd(LANE.workers, {"worker-2": 1})
        await eventually(lambda: bool(holder.ward.taken_from))
        await proxy.go_away()
        await eventually(lambda: not holder.gate.is_open)
        holder.ward.taken_from.clear()
        loop = asyncio.get_running_loop()
        back_at = loop.time()
        await proxy.come_back()
        await eventually(lambda: bool(holder.ward.taken_from))
        assert loop.time() - back_at > 1.5 * LEASE_S


async def test_a_process_that_stood_still_keeps_only_what_redis_says_is_its_own(
    holding: OpenHolder, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with holding() as holder:
        await eventually(lambda: has_lease(redis))
        time.sleep(2 * LEASE_S)  # noqa: ASYNC251 - that is what standing still means
        await eventually(lambda: bool(holder.ward.verified))
        assert not holder.ward.verified[0]
        await eventually(lambda: holder.gate.is_open)
        assert "stood still" in caplog.text


async def test_a_lease_that_redis_refuses_is_tried_again(
    holding: OpenHolder, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set(LANE.workers, "no set of leases")
    async with holding():
        await eventually(lambda: "cannot renew the lease" in caplog.text)
        await redis.delete(LANE.workers)
        await eventually(lambda: has_lease(redis))


async def test_a_takeover_that_redis_does_not_answer_is_tried_again(
    holding: OpenHolder, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis.zadd(LANE.workers, {"worker-2": 1})
    async with holding() as holder:
        tried = 0

        async def fail(dead_workers: list[str], *, until: float) -> None:
            nonlocal tried
            tried += bool(dead_workers)
            if dead_workers:
                raise LinkError("gone")

        monkeypatch.setattr(holder.ward, "take_over", fail)
        await eventually(lambda: tried >= 2)
        assert not holder.task.done()


async def test_another_server_is_asked_which_calls_are_ours_however_soon_it_came(
    holding: OpenHolder,
) -> None:
    binary = redis_server.find_binary()
    with redis_server.fresh_directory() as directory:
        url = redis_server.url_of(directory)
        async with holding(url, lease_s=5.0) as holder:
            with redis_server.running(binary, directory=directory):
                await eventually(lambda: holder.lease._doubt is not None)
                assert holder.ward.verified == []
            with redis_server.running(binary, directory=directory):
                await eventually(lambda: holder.ward.verified == [True])
                assert holder.gate.is_open


async def test_an_answer_that_redis_takes_long_to_give_is_no_standing_still(
    holding: OpenHolder, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with holding() as holder:
        await eventually(lambda: has_lease(redis))
        holder.ward.may_answer.clear()
        holder.gate.close()
        first, starvation = holder.lease._doubt, Starvation()
        await eventually(lambda: holder.lease._doubt is not first)
        second = holder.lease._doubt
        await eventually(lambda: holder.lease._doubt is not second)
        holder.ward.may_answer.set()
        await eventually(lambda: holder.gate.is_open)
        if starvation.seconds < LEASE_S / 4:  # else it may well have stood still
            assert set(holder.ward.verified) == {True}
            assert "stood still" not in caplog.text
