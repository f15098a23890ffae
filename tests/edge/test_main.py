"""An edge as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientConnectionError, ClientSession

from tests.edge.calls import Caller, Closed
from tests.waiting import until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


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


async def is_ready(client: ClientSession, port: int) -> bool:
    try:
        async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
            return response.status == 200
    except ClientConnectionError:
        return False


async def test_sigterm_ends_calls_with_1012_and_the_process_with_0(redis_url: str) -> None:
    port = free_port()
    async with (
        ClientSession() as client,
        started(
            REDIS_URL=redis_url, TRUNKLINE_PORT=str(port), TRUNKLINE_DRAIN_TIMEOUT_S="0.1"
        ) as process,
    ):
        await until(lambda: is_ready(client, port), timeout=20)
        caller = Caller(await client.ws_connect(f"http://127.0.0.1:{port}/media/twilio"))
        await caller.start()
        process.send_signal(signal.SIGTERM)
        assert await caller.closed() == Closed(1012, "edge restarts")
        _, stderr = await process.communicate()
        assert process.returncode == 0
        assert [b"listening" in stderr, b"stopped" in stderr] == [True, True]
        assert b"Traceback" not in stderr


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
