from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from common.link import Link
from tests.common.verbs import Bus


@pytest.fixture
async def call(redis_url: str) -> AsyncIterator[Bus]:
    link = Link(redis_url, timeout_s=2.0)
    yield Bus(link)
    await link.close()
