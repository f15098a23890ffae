from __future__ import annotations

import asyncio
from typing import cast

import pytest

from edge.roll import Roll
from edge.uplink import CallEvents
from tests import virtual_time


class Member:
    """Stands where a call's events stand; says when it was asked what."""

    def __init__(self) -> None:
        self.held_at: list[float] = []
        self.announced_at: list[float] = []
        self.verified = 0

    def hold(self) -> None:
        self.held_at.append(asyncio.get_running_loop().time())

    def verify(self) -> None:
        self.verified += 1

    def announce_again(self) -> None:
        self.announced_at.append(asyncio.get_running_loop().time())


def members(roll: Roll, count: int) -> list[Member]:
    called = [Member() for _ in range(count)]
    for member in called:
        roll.add(cast(CallEvents, member))
    return called


def spread(count: int, *, calls_per_s: float = 200) -> list[float]:
    """When so many calls are announced again, in order."""

    async def call() -> list[Member]:
        roll = Roll(calls_per_s=calls_per_s)
        called = members(roll, count)
        roll.announce_again()
        await asyncio.sleep(100)
        return called

    called = virtual_time.run(call())
    assert all(member.held_at == [0.0] for member in called)
    return sorted(at for member in called for at in member.announced_at)


def test_few_calls_are_spread_over_a_fifth_of_a_second() -> None:
    for count in (1, 2, 20, 40):
        times = spread(count)
        assert len(times) == count
        assert times[-1] < 0.2
    assert spread(20)[0] < 0.01
    assert spread(20)[-1] > 0.19


def test_many_calls_are_announced_at_the_rate_that_is_allowed() -> None:
    times = spread(500)
    assert len(times) == 500
    assert 2.49 < times[-1] < 2.5
    for second in (0.0, 0.7, 1.5):
        assert sum(second <= at < second + 1 for at in times) <= 201


def test_order_is_another_one_every_time() -> None:
    async def order() -> list[Member]:
        roll = Roll(calls_per_s=200)
        called = members(roll, 20)
        roll.announce_again()
        await asyncio.sleep(1)
        return called

    def ranks(called: list[Member]) -> list[float]:
        times = [member.announced_at[0] for member in called]
        return [sorted(times).index(at) for at in times]

    assert ranks(virtual_time.run(order())) != ranks(virtual_time.run(order()))


def test_second_change_begins_anew() -> None:
    async def call() -> list[Member]:
        roll = Roll(calls_per_s=10)
        called = members(roll, 10)
        roll.announce_again()
        await asyncio.sleep(0.5)
        roll.announce_again()
        await asyncio.sleep(100)
        return called

    called = virtual_time.run(call())
    assert all(member.held_at == [0.0, 0.5] for member in called)
    assert sum(len(member.announced_at) for member in called) in (14, 15, 16)
    assert all(0.5 <= member.announced_at[-1] <= 1.5 for member in called)


def test_calls_that_vanish_are_announced_one_after_another_from_now_on() -> None:
    async def call() -> list[Member]:
        roll = Roll(calls_per_s=10)
        called = members(roll, 6)
        for member in called[:5]:
            roll.announce_soon(cast(CallEvents, member))
        await asyncio.sleep(100)
        roll.announce_soon(cast(CallEvents, called[5]))
        await asyncio.sleep(0.01)
        return called

    called = virtual_time.run(call())
    times = [at for member in called for at in member.announced_at]
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 100.0])
    assert all(member.held_at == [] for member in called)


def test_every_call_asks_after_itself() -> None:
    async def ask() -> list[Member]:
        roll = Roll(calls_per_s=10)
        called = members(roll, 3)
        roll.discard(cast(CallEvents, called[0]))
        roll.verify()
        return called

    assert [member.verified for member in virtual_time.run(ask())] == [0, 1, 1]


def test_roll_is_empty_once_every_call_is_done() -> None:
    async def wait() -> list[str]:
        roll = Roll(calls_per_s=200)
        await roll.is_empty()
        (member,) = members(roll, 1)
        seen = []
        waiting = asyncio.create_task(roll.is_empty())
        await asyncio.sleep(1)
        seen.append(f"{waiting.done()}")
        roll.discard(cast(CallEvents, member))
        await asyncio.sleep(1)
        seen.append(f"{waiting.done()}")
        return seen

    assert virtual_time.run(wait()) == ["False", "True"]
