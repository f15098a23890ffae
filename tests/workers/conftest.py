from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.bus import Claim
from common.link import Link
from common.process import background
from common.writer import Writer
from tests.workers.calls import Rig
from workers.agent import Agent

OpenRig = Callable[..., Rig]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2, "offload") as executor:
        yield executor


@pytest.fixture
async def rig(executor: ThreadPoolExecutor) -> AsyncIterator[OpenRig]:
    """Opens rigs; whatever still runs in them at the end of the test is cancelled."""
    opened: list[Rig] = []

    def open_rig(agent: type[Agent], begin: Claim | None = None) -> Rig:
        opened.append(Rig(agent, executor, begin))
        return opened[-1]

    yield open_rig
    for each in opened:
        each.task.cancel()


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    """A connection to an empty database."""
    link = Link(redis_url, timeout_s=10.0)
    yield link
    await link.close()


@pytest.fixture
async def writer(redis_url: str) -> AsyncIterator[Writer]:
    link = Link(redis_url, timeout_s=10.0)
    writer = Writer(link, tick_s=0.0)
    async with background(writer.run()):
        yield writer
    await link.close()
