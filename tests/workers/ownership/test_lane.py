from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, NamedTuple

import pytest
from msgspec import structs
from redis.asyncio import Redis

from common import bus, membership
from common.commands import Command, HangUp, SetMark
from common.events import CallEnded, DtmfReceived, EndReason
from common.keys import GROUP
from common.link import Link
from common.scripts import ADOPT
from tests.chaos_proxy import ChaosProxy
from tests.waiting import Starvation
from tests.workers.calls import (
    ENDED,
    LANE,
    announce,
    append,
    audio,
    commands_in,
    eventually,
    within,
)
from workers.agent import Agent
from workers.call import Call
from workers.ownership.capacity import Capacity
from workers.ownership.lane import WorkerLane
from workers.settings import WorkerSettings


class Running(NamedTuple):
    lane: WorkerLane
    capacity: Capacity
    stopping: asyncio.Event


OpenLane = Callable[..., AbstractAsyncContextManager[Running]]


class Pressed(Agent):
    async def on_start(self, call: Call) -> None:
        await call.mark("hello")

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        if dtmf.digit == "#":
            raise ValueError
        await call.mark(dtmf.digit)


class Unmade(Agent):
    def __init__(self) -> None:
        raise RuntimeError("no model")


class Stuck(Agent):
    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def lane(redis_url: str, executor: ThreadPoolExecutor) -> OpenLane:
    @asynccontextmanager
    async def run(
        agent: type[Agent] = Pressed, calls: int = 10, url: str = redis_url, **settings: int
    ) -> AsyncIterator[Running]:
        capacity = Capacity(calls)
        base = WorkerSettings(redis_url=url, tick_ms=2.0, redis_timeout_ms=500)
        lane = WorkerLane(
            LANE, "worker-1", structs.replace(base, **settings), agent, executor, capacity
        )
        stopping = asyncio.Event()
        running = asyncio.create_task(lane.run(stopping))
        try:
            await eventually(lambda: lane._writer.is_answering)
            yield Running(lane, capacity, stopping)
            capacity.close()
            stopping.set()
            await within(running)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    return run


async def has_commands(redis: Redis, call_id: str, expected: list[Command]) -> None:
    async def is_so() -> bool:
        return await commands_in(redis, LANE.keys(call_id)) == expected

    await eventually(is_so)


async def keys_of_calls(redis: Redis) -> set[Any]:
    return set(await redis.keys()) - {LANE.calls, LANE.workers, LANE.ended}


async def no_call_is_left(redis: Redis) -> None:
    async def is_so() -> bool:
        return not await keys_of_calls(redis) and not await redis.xlen(LANE.calls)

    await eventually(is_so)


async def test_a_call_from_its_announcement_to_its_end(
    lane: OpenLane, link: Link, redis: Redis
) -> None:
    async with lane() as running:
        keys = await announce(link, "c1")
        await append(link, keys, DtmfReceived("1"), audio(), DtmfReceived("2"))
        await has_commands(redis, "c1", [SetMark("hello"), SetMark("1"), SetMark("2")])
        assert running.capacity.running == 1
        await append(link, keys, ENDED, first=5)
        await no_call_is_left(redis)
        await eventually(lambda: running.capacity.running == 0)
        assert (await redis.xpending(LANE.calls, GROUP))["pending"] == 0


async def test_a_lane_that_stops_leaves_nothing_but_the_dispatch_stream(
    lane: OpenLane, link: Link, redis: Redis
) -> None:
    async with lane():
        keys = await announce(link, "c1")
        await append(link, keys, ENDED)
        await no_call_is_left(redis)
    assert set(await redis.keys()) == {LANE.calls, LANE.ended}
    assert await redis.xinfo_consumers(LANE.calls, GROUP) == []


async def test_a_lane_that_stops_hands_its_calls_over(
    lane: OpenLane, link: Link, redis: Redis
) -> None:
    async with lane():
        keys = await announce(link, "c1")
        await append(link, keys, DtmfReceived("1"))
        await has_commands(redis, "c1", [SetMark("hello"), SetMark("1")])
    assert await redis.hmget(keys.call, "token", "cursor") == [b"", b"2"]
    assert await redis.exists(LANE.workers) == 0
    async with lane() as second:
        await eventually(lambda: second.capacity.running == 1)
        await append(link, keys, DtmfReceived("2"), first=3)
        await has_commands(redis, "c1", [SetMark("hello"), SetMark("1"), SetMark("2")])
        await append(link, keys, ENDED, first=4)
        await no_call_is_left(redis)


@pytest.mark.parametrize("agent", [Pressed, Unmade])
async def test_an_agent_that_fails_ends_its_own_call_and_the_lane_goes_on(
    lane: OpenLane, link: Link, redis: Redis, agent: type[Agent]
) -> None:
    failed: list[Command] = [HangUp(EndReason.AGENT_FAILED, "RuntimeError")]
    if agent is Pressed:
        failed = [SetMark("hello"), HangUp(EndReason.AGENT_FAILED, "ValueError")]
    async with lane(agent) as running:
        for call_id in ("c1", "c2"):
            keys = await announce(link, call_id)
            await append(link, keys, DtmfReceived("#"), DtmfReceived("1"))
            await has_commands(redis, call_id, failed)
            await append(link, keys, ENDED, first=4)
        await no_call_is_left(redis)
        await eventually(lambda: running.capacity.running == 0)


async def test_a_call_without_a_readable_start_is_ended(
    lane: OpenLane, link: Link, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Its keys go, which tells the edge; nobody could ever run it."""
    async with lane() as running:
        await announce(link, "bad", first=b"\xc1")
        await eventually(lambda: "cannot run call" in caplog.text)
        await no_call_is_left(redis)
        await eventually(lambda: running.capacity.running == 0)
        keys = await announce(link, "good")
        await has_commands(redis, "good", [SetMark("hello")])
        await append(link, keys, ENDED)


async def test_a_call_that_another_worker_owns_now_is_let_go(
    lane: OpenLane, link: Link, redis: Redis
) -> None:
    async with lane() as running:
        keys = await announce(link, "c1")
        await has_commands(redis, "c1", [SetMark("hello")])
        await redis.hset(keys.call, "token", "worker-2:1")
        await append(link, keys, DtmfReceived("1"))
        await eventually(lambda: running.capacity.running == 0)
        assert await commands_in(redis, keys) == [SetMark("hello")]
        assert await redis.hget(keys.call, "token") == b"worker-2:1"


async def test_a_call_whose_keys_vanish_is_let_go_when_nobody_announces_it_again(
    lane: OpenLane, link: Link, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ownership.restoration._PATIENCE_S", 0.3)
    async with lane() as running:
        keys = await announce(link, "c1")
        await append(link, keys, audio(1))
        await has_commands(redis, "c1", [SetMark("hello")])
        runs = running.capacity.running
        await redis.delete(keys.call)
        await append(link, keys, DtmfReceived("1"), first=3)
        await eventually(lambda: running.capacity.running == 0)
        assert runs == 1


async def test_a_silent_call_whose_keys_all_vanish_is_found_out(
    lane: OpenLane, link: Link, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its edge gives it up and cannot say so: no event comes, no commit is refused."""
    monkeypatch.setattr("workers.ownership.restoration._PATIENCE_S", 0.3)
    monkeypatch.setattr("workers.ownership.lease._VERIFY_EVERY_S", 0.3)
    async with lane() as running:
        await announce(link, "c1")
        await has_commands(redis, "c1", [SetMark("hello")])
        assert running.capacity.running == 1
        await redis.flushall()
        await eventually(lambda: running.capacity.running == 0)


async def test_a_cancelled_lane_leaves_its_calls_to_others(
    lane: OpenLane, link: Link, redis: Redis
) -> None:
    keys = LANE.keys("c1")
    with suppress(TimeoutError):
        async with lane(Stuck) as running:
            await announce(link, "c1")
            await append(link, keys, ENDED)
            await eventually(lambda: running.capacity.running == 1)
            raise TimeoutError
    assert await redis.exists(keys.call, keys.events) == 2
    assert (await redis.xpending(LANE.calls, GROUP))["pending"] == 1


async def calls_of_the_dead(link: Link, count: int) -> list[str]:
    """Calls of a worker that has no lease any more, which the others have yet to find out."""
    await link.execute([bus.create_group(LANE)])
    call_ids = [f"c{number}" for number in range(count)]
    for call_id in call_ids:
        keys = await announce(link, call_id)
        take = bus.take(LANE, "worker-2", block_ms=1)
        await link.execute([take, bus.claim(keys, "worker-2:1")])
    return call_ids


async def test_calls_that_were_adopted_without_our_hearing_of_it_are_run_all_the_same(
    lane: OpenLane, link: Link, redis: Redis, redis_url: str
) -> None:
    await calls_of_the_dead(link, 3)
    async with ChaosProxy.in_front_of(redis_url) as proxy:
        lost = proxy.drop_next_reply(to=ADOPT.sha)
        async with lane(url=proxy.url) as running:
            await redis.zadd(LANE.workers, {"worker-2": 1})
            await within(lost.wait())
            await eventually(lambda: running.capacity.running == 3)


async def test_who_takes_many_calls_over_keeps_its_lease_meanwhile(
    lane: OpenLane, link: Link, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Or the others would take all of them over in turn."""
    await calls_of_the_dead(link, 240)
    async with lane(calls=10) as running:
        starvation = Starvation()
        await redis.zadd(LANE.workers, {"worker-2": 1})
        left: list[float] = []

        async def are_taken() -> bool:
            seconds, micros = await redis.time()
            end = await redis.zscore(LANE.workers, "worker-1")
            assert end is not None
            left.append(end - seconds * 1000 - micros / 1000)
            return running.capacity.running == 240

        await eventually(are_taken, timeout_s=60.0)
        # But for what the machine makes it wait; half a lease is noticed.
        assert min(left) > 300 - 1000 * starvation.seconds
        assert "stood still" not in caplog.text or starvation.seconds > 0.3


async def test_a_process_that_stands_still_for_less_than_its_lease_keeps_its_calls(
    lane: OpenLane, link: Link, redis: Redis
) -> None:
    """Its requests time out meanwhile, answered or not; none is done twice, none is lost."""
    async with lane() as running:
        keys = await announce(link, "c1")
        await has_commands(redis, "c1", [SetMark("hello")])
        token = await redis.hget(keys.call, "token")
        for first in range(2, 11, 3):
            await append(link, keys, *[DtmfReceived(d) for d in "123"], first=first)
            time.sleep(0.7)  # noqa: ASYNC251 - that is what standing still means
        await has_commands(redis, "c1", [SetMark(name) for name in ("hello", *"123" * 3)])
        assert await redis.hget(keys.call, "token") == token
        assert running.capacity.running == 1


async def test_a_process_that_stood_still_while_others_took_over_leaves_them_their_calls(
    lane: OpenLane, link: Link, redis: Redis
) -> None:
    async with lane() as running:
        keys = await announce(link, "c1")
        await has_commands(redis, "c1", [SetMark("hello")])
        await append(link, keys, DtmfReceived("1"))
        # What another does while we do not look; in one write, or we might renew our lease amid it.
        await link.execute(
            [
                (b"ZADD", LANE.workers, 1, b"worker-1"),
                membership.renew_worker(LANE, "worker-2", lease_ms=60_000),
                membership.adopt(LANE, "worker-1", "worker-2", at_most=8),
                bus.claim(keys, "worker-2:1"),
            ]
        )
        time.sleep(1.2)  # noqa: ASYNC251
        await eventually(lambda: running.capacity.running == 0)
        assert await redis.hget(keys.call, "token") == b"worker-2:1"


async def test_calls_of_an_edge_that_died_before_they_were_taken_are_ended(
    lane: OpenLane, link: Link, redis: Redis
) -> None:
    await announce(link, "c1")
    await redis.zadd(LANE.edges, {"edge-1": 1})
    async with lane(edge_lease_ms=1000) as running:
        await eventually(lambda: running.capacity.running == 1)
        await eventually(lambda: running.capacity.running == 0)
        await redis.delete(LANE.edges)
        await no_call_is_left(redis)
