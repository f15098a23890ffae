from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis

from common.link import Link
from tests.common.lane_probe import LaneProbe
from tests.common.verbs import LANE, Bus


@pytest.fixture
async def call(redis_url: str) -> AsyncIterator[Bus]:
    link = Link(redis_url, timeout_s=10.0)
    yield Bus(link)
    await link.close()


@pytest.fixture
def probe(redis_url: str) -> Iterator[LaneProbe]:
    with Redis.from_url(redis_url, protocol=3) as client:
        yield LaneProbe(client, LANE)
