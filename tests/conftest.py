"""Fixtures for every test; which Redis they mean, `tests.redis_for_tests` decides."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from tests import parsing, redis_for_tests
from tests.chaos_proxy import ChaosProxy

parsing.keep_collector_out()

# How fast a machine is says nothing about the code; nor does asyncio's warning of a step that took
# a tenth of a second, where tests look at what was logged.
settings.register_profile("trunkline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trunkline")
logging.getLogger("asyncio").addFilter(
    lambda record: not str(record.msg).startswith("Executing %s took")
)


def pytest_configure() -> None:
    redis_for_tests.choose()  # a Redis that cannot be had is one line, not a page per test


def pytest_xdist_auto_num_workers() -> int:
    """Each has a Redis of its own, but for the one that is named by a URL: that is for one."""
    return 1 if redis_for_tests.choose().is_shared else (os.cpu_count() or 1) + 1


def pytest_report_header() -> str:
    return f"redis: {redis_for_tests.choose().description}"


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """The server that all tests share, with whatever the test before left in it."""
    with redis_for_tests.choose().run() as url:
        yield url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """Where an empty database is."""
    redis_for_tests.empty(redis_server_url)
    return redis_server_url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty database; replies are bytes."""
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[ChaosProxy]:
    """A way to it that can be disturbed."""
    async with ChaosProxy.in_front_of(redis_url) as proxy:
        yield proxy
