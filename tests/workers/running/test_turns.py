from __future__ import annotations

import asyncio

import pytest

from tests.waiting import until
from tests.workers.calls import within
from workers.running.turns import Turns


async def forever() -> None:
    await asyncio.Event().wait()


async def test_handlers_that_come_to_their_end_are_through() -> None:
    turns = Turns()
    assert await turns.take(asyncio.sleep(0))
    assert not turns.is_cancelled


async def test_one_that_is_cut_short_is_not_and_the_task_goes_on() -> None:
    turns = Turns()
    turns.subject = "a turn"
    asyncio.get_running_loop().call_soon(turns.cut_short)
    assert not await within(turns.take(forever()))
    assert not turns.is_cancelled
    assert await turns.take(asyncio.sleep(0))


async def test_between_two_turns_nothing_is_cut_short() -> None:
    turns = Turns()
    taking = asyncio.create_task(turns.take(asyncio.sleep(0)))
    turns.cut_short()
    await asyncio.sleep(0)
    turns.cut_short()
    assert await within(taking)


async def test_a_turn_that_keeps_its_end_to_itself_can_tell() -> None:
    turns = Turns()
    turns.subject = "a turn"
    told: list[bool] = []

    async def deaf() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            told.append(turns.is_cancelled)
        raise asyncio.CancelledError

    asyncio.get_running_loop().call_soon(turns.cut_short)
    assert not await within(turns.take(deaf()))
    assert told == [True]


async def test_cancelling_the_task_is_another_thing() -> None:
    turns = Turns()
    taking = asyncio.create_task(turns.take(forever()))
    await until(lambda: turns._task is not None)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(taking)


async def test_the_next_one_is_not_cut_short_in_the_place_of_one_that_ends_just_now() -> None:
    turns = Turns()
    answer = asyncio.Event()
    cut: list[str] = []

    async def both() -> None:
        for name, wait in (("first", answer.wait), ("next", forever)):
            turns.subject = name
            try:
                await wait()
            except asyncio.CancelledError:
                cut.append(name)
                raise
            finally:
                turns.subject = None

    def come_to_its_end() -> None:
        answer.set()
        turns.cut_short()

    asyncio.get_running_loop().call_soon(come_to_its_end)
    assert not await within(turns.take(both()))
    assert cut == ["first"]


async def forgetful() -> None:
    """Does as Python tells those to do who keep a cancellation to themselves."""
    try:
        await forever()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()


async def test_a_handler_cannot_take_its_cancellation_back() -> None:
    turns = Turns()
    turns.subject = "a turn"

    async def handlers() -> None:
        await forgetful()
        assert turns.is_cancelled
        raise asyncio.CancelledError

    asyncio.get_running_loop().call_soon(turns.cut_short)
    assert not await within(turns.take(handlers()))
    assert not turns.is_cancelled


async def test_none_follows_those_that_were_given_up() -> None:
    turns = Turns()
    turns.subject = "a turn"

    async def handlers() -> None:
        await forgetful()
        await forgetful()
        raise asyncio.CancelledError

    taking = asyncio.create_task(turns.take(handlers()))
    await until(lambda: turns._task is not None)
    turns.cut_short()
    turns.give_up()
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(taking)
