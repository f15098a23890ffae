"""Workers that die, stop, stall and lose replies of Redis at random, all at once, while calls go
on: what the callers hear is what they would have heard without.

Every answer that can get lost does so here sooner or later, with everything else in any state; the
tests of the parts have the ones that were found.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from redis.asyncio import Redis

from common.commands import SetMark
from common.events import CallEnded, DtmfReceived
from common.link import Link
from common.scripts import SCRIPTS
from tests.chaos_proxy import ChaosProxy
from tests.workers.calls import (
    ENDED,
    LANE,
    announce,
    append,
    commands_in,
    eventually,
    within,
)
from workers.agent import Agent
from workers.call import Call
from workers.ownership.capacity import Capacity
from workers.ownership.lane import WorkerLane
from workers.settings import WorkerSettings

_CALLS = 8
_STEPS = 60
_WORKERS = 3
_DEADLINE_S = 60.0

ENDS: list[str] = []


class Counting(Agent):
    class State(msgspec.Struct):
        pressed: int = 0

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        call.state.pressed += 1
        await call.mark(f"{call.state.pressed} a")
        await asyncio.sleep(0.005)
        await call.mark(f"{call.state.pressed} b")

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        ENDS.append(call.id)


class Worker:
    """One lane behind a network of its own."""

    def __init__(self, name: str, proxy: ChaosProxy, executor: ThreadPoolExecutor) -> None:
        self.proxy = proxy
        self.capacity = Capacity(2 * _CALLS)
        settings = WorkerSettings(
            redis_url=proxy.url, tick_ms=5.0, redis_timeout_ms=400, lease_ms=1000
        )
        lane = WorkerLane(LANE, name, settings, Counting, executor, self.capacity)
        self._stopping = asyncio.Event()
        self._running = asyncio.create_task(lane.run(self._stopping))

    async def stop(self) -> None:
        self.capacity.close()
        self._stopping.set()
        await within(self._running, _DEADLINE_S)
        await self.proxy.go_away()

    async def die(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.proxy.go_away()


class Fleet:
    def __init__(self, redis_url: str, executor: ThreadPoolExecutor) -> None:
        self._redis_url = redis_url
        self._executor = executor
        self._started = 0
        self.workers: list[Worker] = []

    async def start(self) -> None:
        self._started += 1
        proxy = ChaosProxy(self._redis_url)
        await proxy.come_back()
        self.workers.append(Worker(f"worker-{self._started}", proxy, self._executor))

    async def suffer(self, dice: random.Random) -> None:
        worker = dice.choice(self.workers)
        blow = dice.choices(["drop", "cut", "stall", "stop", "die", ""], [50, 10, 6, 6, 6, 22])[0]
        if blow == "drop":
            worker.proxy.drop_next_reply(to=dice.choice([*SCRIPTS, b"XREADGROUP", b"XREAD"]))
        elif blow == "cut":
            worker.proxy.cut()
        elif blow == "stall":
            worker.proxy.stall()
            asyncio.get_running_loop().call_later(dice.random(), worker.proxy.resume)
        elif blow:
            worker.proxy.resume()
            self.workers.remove(worker)
            await (worker.stop() if blow == "stop" else worker.die())
            await self.start()


@pytest.fixture
async def fleet(redis_url: str, executor: ThreadPoolExecutor) -> AsyncIterator[Fleet]:
    ENDS.clear()
    fleet = Fleet(redis_url, executor)
    for _ in range(_WORKERS):
        await fleet.start()
    yield fleet
    for worker in fleet.workers:
        await worker.die()


def have_said(redis: Redis, pressed: dict[str, int]) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        for call_id, count in pressed.items():
            said = await commands_in(redis, LANE.keys(call_id))
            expected = [SetMark(f"{n} {half}") for n in range(1, count + 1) for half in "ab"]
            assert said == expected[: len(said)], call_id
            if said != expected:
                return False
        return True

    return is_so


@pytest.mark.parametrize("seed", [4, 5])
async def test_nothing_is_lost_and_nothing_is_done_twice(
    fleet: Fleet, link: Link, redis: Redis, seed: int
) -> None:
    dice = random.Random(seed)
    pressed = dict.fromkeys([f"c{number}" for number in range(_CALLS)], 0)
    for call_id in pressed:
        await announce(link, call_id)
    for _ in range(_STEPS):
        for call_id in dice.sample(list(pressed), _CALLS // 2):
            pressed[call_id] += 1
            number = pressed[call_id] + 1
            await append(link, LANE.keys(call_id), DtmfReceived("1"), first=number)
        await fleet.suffer(dice)
        await asyncio.sleep(dice.random() * 0.06)
    for worker in fleet.workers:
        worker.proxy.resume()
    await eventually(have_said(redis, pressed), _DEADLINE_S)

    for call_id, count in pressed.items():
        await append(link, LANE.keys(call_id), ENDED, first=count + 2)

    async def are_gone() -> bool:
        return set(await redis.keys()) <= {LANE.calls, LANE.workers, LANE.ended}

    await eventually(are_gone, _DEADLINE_S)
    assert await redis.xlen(LANE.calls) == 0
    await eventually(lambda: not any(worker.capacity.running for worker in fleet.workers))
    assert set(ENDS) == set(pressed)
