from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from tests.workers.calls import STARTED, Rig, eventually
from workers import whereabouts
from workers.agent import Agent
from workers.call import Call

OpenRig = Callable[..., Rig]


async def deep_inside() -> None:
    await asyncio.Event().wait()


class Waiting(Agent):
    async def on_start(self, call: Call) -> None:
        await deep_inside()


async def test_a_waiting_handler_is_named_and_where_it_waits(rig: OpenRig) -> None:
    call = rig(Waiting)
    call.feed(STARTED)
    await call.handled()
    told = whereabouts.of_waiting(call.task)
    assert told["handler"] == "Waiting.on_start"
    assert told["at"].startswith("test_whereabouts.py:")
    assert told["inside"] == "Event.wait"


async def test_spawned_work_is_named(rig: OpenRig) -> None:
    tasks: list[asyncio.Task[None]] = []

    class Spawning(Agent):
        async def on_start(self, call: Call) -> None:
            tasks.append(call.spawn(deep_inside()))

    call = rig(Spawning)
    await call.handle(STARTED)
    assert whereabouts.of_waiting(tasks[0])["handler"] == "deep_inside"


async def test_between_handlers_nobody_is_named(rig: OpenRig) -> None:
    call = rig(Agent)
    await call.handle(STARTED)
    assert whereabouts.of_waiting(call.task) == {}


async def test_a_handler_that_runs_is_named_from_another_thread(rig: OpenRig) -> None:
    told: list[dict[str, str]] = []
    us = threading.get_ident()

    class Busy(Agent):
        async def on_start(self, call: Call) -> None:
            thread = threading.Thread(target=lambda: told.append(whereabouts.of_thread(us)))
            thread.start()
            thread.join()

    call = rig(Busy)
    call.feed(STARTED)
    await eventually(lambda: bool(told))
    assert told[0]["handler"].endswith("Busy.on_start")
    assert told[0]["at"].startswith("test_whereabouts.py:")


def test_a_thread_that_is_gone_is_nowhere() -> None:
    assert whereabouts.of_thread(0) == {}
