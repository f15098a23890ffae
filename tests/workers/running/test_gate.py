from __future__ import annotations

import asyncio

from tests.workers.calls import within
from workers.running.gate import Gate


async def test_an_open_gate_is_passed_at_once() -> None:
    gate = Gate()
    assert gate.is_open
    await within(gate.passed())


async def test_a_closed_gate_holds_until_it_is_opened() -> None:
    gate = Gate()
    gate.close()
    passing = asyncio.create_task(gate.passed())
    await asyncio.sleep(0)
    assert not passing.done()
    gate.open()
    await within(passing)


async def test_a_gate_that_was_shut_opens_no_more() -> None:
    gate = Gate()
    gate.shut()
    gate.open()
    assert not gate.is_open
