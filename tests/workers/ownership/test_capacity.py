from __future__ import annotations

import asyncio

from tests.workers.calls import within
from workers import metrics
from workers.ownership.capacity import Capacity


async def test_there_is_room_up_to_the_limit() -> None:
    capacity = Capacity(2)
    for _ in range(2):
        assert await within(capacity.reserve())
        capacity.take()
        capacity.release()
    waiting = asyncio.create_task(capacity.reserve())
    await asyncio.sleep(0)
    assert not waiting.done()
    capacity.give_back()
    assert await within(waiting)


async def test_what_is_reserved_is_not_given_to_another_lane() -> None:
    capacity = Capacity(1)
    assert await within(capacity.reserve())
    other = asyncio.create_task(capacity.reserve())
    await asyncio.sleep(0)
    assert not other.done()
    capacity.release()
    assert await within(other)


async def test_closing_ends_the_wait_for_room_with_no() -> None:
    capacity = Capacity(1)
    capacity.take()
    waiting = asyncio.create_task(capacity.reserve())
    await asyncio.sleep(0)
    capacity.close()
    assert not await within(waiting)


async def test_a_closed_capacity_has_no_room_however_empty() -> None:
    capacity = Capacity(1)
    capacity.close()
    assert not await within(capacity.reserve())


async def test_running_calls_are_exported() -> None:
    capacity = Capacity(3)
    capacity.take()
    assert capacity.running == metrics.CALLS._value.get() == 1
    capacity.give_back()
    assert capacity.running == metrics.CALLS._value.get() == 0
