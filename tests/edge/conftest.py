from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.edge.calls import RunningEdge, running_edge


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[RunningEdge]:
    async with running_edge(redis_url) as edge:
        yield edge
