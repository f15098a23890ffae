from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from common.events import CallEnded, DtmfReceived
from common.link import Link
from common.process import background
from common.tail import Entry
from common.wire import encode_event
from common.writer import Writer
from tests import virtual_time
from tests.workers.calls import ENDED, LANE, STARTED, Rig, audio
from workers import metrics
from workers.agent import Agent
from workers.call import Call
from workers.ownership.curfew import Curfew
from workers.ownership.owned_call import OwnedCall
from workers.ownership.reader import EventReader

TIMEOUT_S = 30.0
#: One look to see whose turn it is, one that it still is, and one that it has been for too long.
LOOKS_S = 3.0


class Waiting(Agent):
    """Waits where it is told to: at a key, at the end."""

    at_key: Callable[[], Awaitable[None]] | None = None
    at_end: Callable[[], Awaitable[None]] | None = None
    ends = 0

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        if Waiting.at_key is not None:
            await Waiting.at_key()

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        Waiting.ends += 1
        if Waiting.at_end is not None:
            await Waiting.at_end()


class Bench:
    """One call under a curfew, on a loop whose clock jumps."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        Waiting.at_key = Waiting.at_end = None
        Waiting.ends = 0
        self.rig = Rig(Waiting, executor)
        self.deaf: list[OwnedCall] = []
        link = Link("redis://unused", timeout_s=1.0)
        call = OwnedCall(LANE.keys("c1"), "t", "edge-1", self.rig.runner)
        self.curfew = Curfew(
            {call: self.rig.task},
            Writer(link, tick_s=0.0),
            EventReader(link, tick_s=1.0, on_unreadable=lambda call: None),
            timeout_s=TIMEOUT_S,
            on_deaf=self.deaf.append,
        )


Scenario = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def play(executor: ThreadPoolExecutor) -> Callable[[Scenario], None]:
    async def under_curfew(scenario: Scenario) -> None:
        bench = Bench(executor)
        async with background(bench.curfew.run()):
            await scenario(bench)
        bench.rig.task.cancel()

    return lambda scenario: virtual_time.run(under_curfew(scenario))


async def forever() -> None:
    await asyncio.Event().wait()


async def deaf() -> None:
    for _ in range(20):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            continue


def test_while_the_caller_is_there_a_handler_may_wait(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        Waiting.at_key = forever
        bench.rig.feed(STARTED, DtmfReceived("1"), audio())
        await asyncio.sleep(100 * TIMEOUT_S)
        assert not bench.rig.task.done()
        assert bench.rig.runner.backlog == 1

    play(scenario)


def test_once_the_call_has_ended_it_gets_so_long_and_the_end_is_handled_all_the_same(
    play: Callable[[Scenario], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: Bench) -> None:
        Waiting.at_key = forever
        bench.rig.feed(STARTED, DtmfReceived("1"))
        await asyncio.sleep(1000)
        bench.rig.feed(audio(), DtmfReceived("2"), ENDED)
        await asyncio.sleep(TIMEOUT_S - 1)
        assert not bench.rig.task.done()
        await asyncio.sleep(1 + LOOKS_S)
        assert bench.rig.task.done()
        assert Waiting.ends == 1

    before = metrics.HANDLERS_CUT._value.get()
    play(scenario)
    assert metrics.HANDLERS_CUT._value.get() == before + 1
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.message == "handler is cancelled: it outlasts its call"
    told = record.__dict__
    assert (told["call"], told["handler"], told["inside"]) == (
        "c1",
        "Waiting.on_dtmf",
        "Event.wait",
    )


def test_on_stop_gets_as_long(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        Waiting.at_end = forever
        bench.rig.feed(STARTED, ENDED)
        await asyncio.sleep(TIMEOUT_S - 1)
        assert not bench.rig.task.done()
        await asyncio.sleep(1 + LOOKS_S)
        assert bench.rig.task.done()
        assert Waiting.ends == 1

    play(scenario)


def test_slow_handlers_that_come_to_their_end_are_let_be(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        async def slow() -> None:
            await asyncio.sleep(TIMEOUT_S - 1)

        Waiting.at_key = slow
        before = metrics.HANDLERS_CUT._value.get()
        bench.rig.feed(STARTED, *[DtmfReceived("1") for _ in range(10)], ENDED)
        await asyncio.sleep(10 * TIMEOUT_S)
        assert bench.rig.task.done()
        assert metrics.HANDLERS_CUT._value.get() == before

    play(scenario)


def test_a_call_whose_edge_has_died_ends_as_well(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        Waiting.at_key = forever
        bench.rig.feed(STARTED, DtmfReceived("1"), audio())
        await asyncio.sleep(1)
        assert bench.rig.runner.end(ENDED.reason, "")
        await asyncio.sleep(TIMEOUT_S + LOOKS_S)
        assert bench.rig.task.done()
        assert Waiting.ends == 1

    play(scenario)


def test_one_that_hangs_as_it_is_resumed_ends_as_well(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        Waiting.at_key = forever
        bench.rig.runner._claim = bench.rig.runner._claim._replace(cursor=1)
        Waiting.on_resumed = lambda self, call: forever()  # type: ignore[method-assign]
        try:
            bench.rig.feed(ENDED)
            await asyncio.sleep(TIMEOUT_S + LOOKS_S)
        finally:
            del Waiting.on_resumed
        assert bench.rig.task.done()
        assert Waiting.ends == 1

    play(scenario)


def test_one_that_does_not_hear_of_it_is_told(
    play: Callable[[Scenario], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: Bench) -> None:
        Waiting.at_key = deaf
        bench.rig.feed(STARTED, DtmfReceived("1"), ENDED)
        await asyncio.sleep(TIMEOUT_S + LOOKS_S)
        assert not bench.deaf
        await asyncio.sleep(5 + LOOKS_S)
        assert len(set(bench.deaf)) == 1
        assert not bench.rig.task.done()
        assert Waiting.ends == 0

    play(scenario)
    assert "goes on though it is cancelled" in caplog.text


async def deaf_by_the_book() -> None:
    """Keeps its cancellation to itself as Python says how to."""
    for _ in range(20):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()


def test_one_that_takes_its_cancellation_back_is_told_as_well(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(bench: Bench) -> None:
        Waiting.at_key = deaf_by_the_book
        bench.rig.feed(STARTED, DtmfReceived("1"), ENDED)
        await asyncio.sleep(TIMEOUT_S + 5 + 2 * LOOKS_S)
        assert len(set(bench.deaf)) == 1
        await asyncio.sleep(2 * TIMEOUT_S)
        assert not bench.rig.task.done()
        assert Waiting.ends == 0

    play(scenario)


def test_an_end_that_is_told_twice_is_handled_once(play: Callable[[Scenario], None]) -> None:
    """By its edge, far behind what was read, and by us as that edge has died."""

    async def scenario(bench: Bench) -> None:
        Waiting.at_end = forever
        bench.rig.feed(STARTED)
        assert bench.rig.runner.foresee(Entry(500, encode_event(ENDED, at_ms=0)))
        assert bench.rig.runner.end(ENDED.reason, "")
        await asyncio.sleep(2 * TIMEOUT_S + LOOKS_S)
        assert bench.rig.task.done()
        assert Waiting.ends == 1

    play(scenario)


def test_while_the_process_stands_still_no_time_passes_for_a_handler(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(bench: Bench) -> None:
        answer = asyncio.Event()

        async def answered() -> None:
            await answer.wait()

        Waiting.at_end = answered
        before = metrics.HANDLERS_CUT._value.get()
        bench.rig.feed(STARTED, ENDED)
        await asyncio.sleep(LOOKS_S)
        loop: Any = asyncio.get_running_loop()
        loop._pass(10 * TIMEOUT_S)
        await asyncio.sleep(LOOKS_S)
        answer.set()
        await bench.rig.ended()
        assert metrics.HANDLERS_CUT._value.get() == before

    play(scenario)
