"""A worker as a process of its own, told to stop while an agent keeps something going."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from common.keys import CallKeys, lanes
from common.link import Link
from tests.workers.calls import announce, eventually, within

LANE = lanes("trunkline", 1)[0]

AGENTS = '''
import asyncio
import time

from trunkline_agent import Agent


class Deaf(Agent):
    """Its handler does not end when it is cancelled."""

    async def on_start(self, call):
        await call.mark("begun")
        await never()


class DeafBeside(Agent):
    async def on_start(self, call):
        call.spawn(never())
        await asyncio.sleep(0)
        await call.mark("begun")


class Blocked(Agent):
    """Its thread does not end at all."""

    async def on_start(self, call):
        await call.mark("begun")
        await call.offload(time.sleep, 3600)


class Blocking(Agent):
    """Nobody else gets a turn."""

    async def on_start(self, call):
        time.sleep(3600)


async def never():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
'''.replace("trunkline_agent", "workers.agent")


@pytest.fixture
async def worker(redis_url: str, tmp_path: Path, agent: str) -> AsyncIterator[Any]:
    (tmp_path / "stubborn.py").write_text(AGENTS)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers"),
        cwd=tmp_path,
        env={
            **os.environ,
            "REDIS_URL": redis_url,
            "TRUNKLINE_AGENT": f"stubborn:{agent}",
            # Of those that do not block it, a machine that is busy may still make it stand still.
            "TRUNKLINE_STALL_TIMEOUT_S": "1" if agent == "Blocking" else "0",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def has_begun(redis: Redis, keys: CallKeys) -> bool:
    return bool(await redis.xlen(keys.commands))


@pytest.mark.parametrize("agent", ["Deaf", "DeafBeside", "Blocked"])
async def test_it_ends_in_time_whatever_its_agents_keep_going(
    worker: Any, link: Link, redis: Redis
) -> None:
    keys = await announce(link, "c1", lane=LANE)
    await eventually(lambda: has_begun(redis, keys), timeout_s=60.0)
    worker.send_signal(signal.SIGTERM)
    assert await within(worker.wait(), 20.0) == 0
    assert await redis.hget(keys.call, "token") == b""
    assert await redis.exists(LANE.workers) == 0


@pytest.mark.parametrize("agent", ["Blocking"])
async def test_it_ends_itself_when_a_handler_blocks_it_and_says_which(
    worker: Any, link: Link
) -> None:
    await announce(link, "c1", lane=LANE)
    _, log = await within(worker.communicate(), 60.0)
    assert worker.returncode == 1
    assert re.search(
        r"ends itself.* call=c1 handler=Blocking.on_start at=stubborn.py:\d+", log.decode()
    )
