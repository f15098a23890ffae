from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from common.link import Link
from common.process import background
from common.writer import Writer
from tests.edge.calls import RunningEdge, running_edge


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[RunningEdge]:
    async with running_edge(redis_url) as edge:
        yield edge


@pytest.fixture
async def writer(redis_url: str) -> AsyncIterator[Writer]:
    link = Link(redis_url, timeout_s=10.0)
    writer = Writer(link, tick_s=0.001)
    async with background(writer.run()):
        yield writer
    await link.close()
