from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from tests.workers.calls import STARTED, Rig, eventually
from workers import metrics
from workers.agent import Agent
from workers.call import Call
from workers.running.whereabouts import of_thread
from workers.watchdog import Watchdog

OpenRig = Callable[..., Rig]

DEADLINE_S = 20.0
WARNING = "a handler blocks the process and all its calls"


def blocked_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)


async def test_a_handler_that_blocks_the_loop_is_named_once_while_it_does(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    class Blocking(Agent):
        async def on_start(self, call: Call) -> None:
            blocked_until(lambda: WARNING in caplog.text)

    before = metrics.LOOP_BLOCKED._value.get()
    call = rig(Blocking)
    call.task.set_name("call c1")
    with Watchdog(warn_after_s=0.05, end_after_s=0.0).watching():
        call.feed(STARTED)
        await eventually(lambda: WARNING in caplog.text)
    (record,) = [each for each in caplog.records if each.message == WARNING]
    told = record.__dict__
    assert told["call"] == "c1"
    assert told["handler"].endswith("Blocking.on_start")
    assert told["inside"] == "blocked_until"
    assert metrics.LOOP_BLOCKED._value.get() == before + 1


async def test_a_handler_that_goes_on_blocking_ends_the_process(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    has_ended = threading.Event()

    class Blocking(Agent):
        async def on_start(self, call: Call) -> None:
            blocked_until(has_ended.is_set)

    with Watchdog(warn_after_s=0.02, end_after_s=0.1, end=has_ended.set).watching():
        rig(Blocking).feed(STARTED)
        await eventually(has_ended.is_set)
    assert "the process ends itself" in caplog.text


async def test_a_handler_that_waits_is_not_accused_of_what_blocks_the_loop(
    rig: OpenRig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waiting(Agent):
        async def on_start(self, call: Call) -> None:
            await asyncio.Event().wait()

    call = rig(Waiting)
    call.feed(STARTED)
    await call.handled()
    ended: list[None] = []
    watchdog = Watchdog(warn_after_s=0.02, end_after_s=0.02, end=lambda: ended.append(None))
    looks: list[int] = []

    def looking(thread_id: int) -> dict[str, str]:
        looks.append(thread_id)
        return of_thread(thread_id)

    monkeypatch.setattr("workers.running.whereabouts.of_thread", looking)
    with watchdog.watching():
        blocked_until(lambda: len(looks) > 5)
    assert not ended
    assert WARNING not in caplog.text


async def test_handlers_that_take_turns_are_not_accused(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that has no time for us."""
    looks = 0

    def another(thread_id: int) -> dict[str, str]:
        nonlocal looks
        looks += 1
        return {"handler": f"Agent.on_{looks}", "at": "agent.py:1"}

    monkeypatch.setattr("workers.running.whereabouts.of_thread", another)
    with Watchdog(warn_after_s=0.02, end_after_s=0.0).watching():
        blocked_until(lambda: looks > 5)
    assert WARNING not in caplog.text
