"""An edge as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import ClientConnectionError, ClientSession, WSMsgType
from redis.asyncio import Redis

from common.events import DtmfReceived, Event
from common.wire import decode_event
from tests.edge.calls import Caller, Closed
from tests.ports import free_port
from tests.waiting import Starvation, until


@asynccontextmanager
async def started(**environ: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", env={**os.environ, **environ}, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class Call(NamedTuple):
    """A call on an edge of its own."""

    process: Process
    client: ClientSession
    port: int
    caller: Caller


@asynccontextmanager
async def calling(redis_url: str, **environ: str) -> AsyncIterator[Call]:
    port = free_port()
    async with (
        ClientSession() as client,
        started(REDIS_URL=redis_url, TRUNKLINE_PORT=str(port), **environ) as process,
    ):
        await until(lambda: is_ready(client, port), timeout=60)
        caller = Caller(await client.ws_connect(f"http://127.0.0.1:{port}/media/twilio"))
        yield Call(process, client, port, await caller.start())


def is_closed(port: int) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10.0).close()
    except ConnectionRefusedError:
        return True
    return False


async def is_ready(client: ClientSession, port: int) -> bool:
    try:
        async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
            return response.status == 200
    except ClientConnectionError:
        return False


async def has_stored(redis: Redis, last: Event) -> bool:
    """Whether this is the last event of the only call."""
    keys: Any = await redis.keys("*:in:*")
    replies: Any = [await redis.xrevrange(key, count=1) for key in keys]
    entries = [entry for reply in replies for entry in reply]
    return [decode_event(fields[b"e"]).event for _, fields in entries] == [last]


async def test_sigterm_ends_calls_with_1012_and_the_process_with_0(redis_url: str) -> None:
    async with calling(redis_url, TRUNKLINE_DRAIN_TIMEOUT_S="0.1") as (process, _, _, caller):
        process.send_signal(signal.SIGTERM)
        assert await caller.closed() == Closed(1012, "edge restarts")
        _, stderr = await process.communicate()
        assert process.returncode == 0
        assert [b"listening" in stderr, b"stopped" in stderr] == [True, True]
        assert b"Traceback" not in stderr


async def test_draining_edge_takes_no_call_and_serves_those_that_live(
    redis_url: str, redis: Redis
) -> None:
    environ = {"TRUNKLINE_DRAIN_TIMEOUT_S": "60"}
    async with calling(redis_url, **environ) as (process, client, port, caller):
        await caller.press("1")
        await until(lambda: has_stored(redis, DtmfReceived("1")))
        starvation, began = Starvation(process.pid), time.monotonic()
        process.send_signal(signal.SIGTERM)
        await until(lambda: is_closed(port))
        assert time.monotonic() - began - starvation.seconds < 0.1
        await caller.press("2")
        await until(lambda: has_stored(redis, DtmfReceived("2")))
        # A connection from before may ask, but brings no call.
        assert not await is_ready(client, port)
        await caller.stop()
        assert await caller.closed() == Closed(1000, "")
        await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert not await redis.exists("{trunkline:0}:edges")


async def test_edge_that_stood_still_does_not_blame_its_callers(
    redis_url: str, redis: Redis
) -> None:
    """What they said meanwhile is read before anybody is found to have been silent."""
    settings = {"TRUNKLINE_IDLE_TIMEOUT_S": "1.5", "TRUNKLINE_TAKE_TIMEOUT_S": "60"}
    async with calling(redis_url, **settings) as (process, _, _, caller):
        for digit in "123":
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            await until(lambda began=began: time.monotonic() - began > 1.7)
            await caller.press(digit)
            process.send_signal(signal.SIGCONT)
            await until(lambda digit=digit: has_stored(redis, DtmfReceived(digit)))
        assert await caller.closed() == Closed(1008, "no message")


async def test_second_signal_ends_the_process_at_once(redis_url: str) -> None:
    async with calling(redis_url) as (process, _, port, caller):
        process.send_signal(signal.SIGTERM)
        await until(lambda: is_closed(port))
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):  # a drain may take 30
            await process.communicate()
        assert process.returncode == 130
        assert (await caller.socket.receive()).type is WSMsgType.CLOSED


async def test_all_wrong_settings_are_told_before_anything_starts() -> None:
    wrong = {"TRUNKLINE_PORT": "x", "TRUNKLINE_LANES": "0", "REDIS_URL": "http://x"}
    async with started(**wrong) as process:
        _, stderr = await process.communicate()
    assert process.returncode == 2
    assert b"3 settings are wrong" in stderr
    assert all(variable.encode() in stderr for variable in wrong)
    assert b"Traceback" not in stderr


async def test_port_in_use_is_told_in_one_line(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        async with started(REDIS_URL=redis_url, TRUNKLINE_PORT=port) as process:
            _, stderr = await process.communicate()
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in stderr.decode()
    assert b"Traceback" not in stderr
