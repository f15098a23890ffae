from __future__ import annotations

import asyncio

import pytest

from common.ticker import Ticker, Wakeup
from tests import virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


def test_first_tick_comes_at_once_and_the_others_on_the_grid() -> None:
    async def main() -> list[float]:
        ticker = Ticker(0.5)
        ticks = []
        for _ in range(4):
            await ticker.tick()
            ticks.append(now())
        return ticks

    assert virtual_time.run(main()) == [0.0, 0.5, 1.0, 1.5]


def test_short_work_between_ticks_does_not_delay_them() -> None:
    async def main() -> float:
        ticker = Ticker(0.5)
        for _ in range(101):
            await ticker.tick()
            await asyncio.sleep(0.125)
        return now()

    assert virtual_time.run(main()) == 50.125


def test_ticks_missed_while_busy_are_skipped() -> None:
    async def main() -> list[float]:
        ticker = Ticker(0.5)
        await ticker.tick()
        await asyncio.sleep(10)
        ticks = []
        for _ in range(3):
            await ticker.tick()
            ticks.append(now())
        return ticks

    assert virtual_time.run(main()) == [10.0, 10.5, 11.0]


def test_wakeup_before_the_wait_is_not_lost() -> None:
    async def main() -> float:
        wakeup = Wakeup()
        wakeup.set()
        await wakeup.wait()
        return now()

    assert virtual_time.run(main()) == 0.0


def test_many_wakeups_are_one() -> None:
    async def main() -> float:
        wakeup = Wakeup()
        wakeup.set()
        wakeup.set()
        await wakeup.wait()
        await wakeup.wait(deadline=3.0)
        return now()

    assert virtual_time.run(main()) == 3.0


def test_waiter_is_woken_when_set() -> None:
    async def main() -> float:
        wakeup = Wakeup()
        asyncio.get_running_loop().call_later(2.0, wakeup.set)
        await wakeup.wait(deadline=5.0)
        return now()

    assert virtual_time.run(main()) == 2.0


def test_wait_ends_at_the_deadline() -> None:
    async def main() -> float:
        await Wakeup().wait(deadline=5.0)
        return now()

    assert virtual_time.run(main()) == 5.0


def test_deadline_in_the_past_does_not_wait() -> None:
    async def main() -> float:
        await asyncio.sleep(7.0)
        await Wakeup().wait(deadline=5.0)
        return now()

    assert virtual_time.run(main()) == 7.0


def test_deadline_of_an_earlier_wait_does_not_end_a_later_one() -> None:
    async def main() -> float:
        wakeup = Wakeup()
        wakeup.set()
        await wakeup.wait(deadline=1.0)
        asyncio.get_running_loop().call_later(0.5, wakeup.set)
        await wakeup.wait(deadline=1.0)
        await wakeup.wait(deadline=3.0)
        return now()

    assert virtual_time.run(main()) == 3.0


def test_cancelled_waiter_leaves_the_wakeup_to_the_next() -> None:
    async def main() -> float:
        wakeup = Wakeup()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await wakeup.wait()
        wakeup.set()
        await wakeup.wait(deadline=9.0)
        return now()

    assert virtual_time.run(main()) == 1.0
