"""Signals and exit codes need processes of their own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from common.process import background

PREAMBLE = """
import asyncio, sys
from common.errors import SettingsError, UsageError
from common.process import run
"""

DRAINS = """
async def main(stopping):
    print("ready", flush=True)
    await stopping.wait()
    print("draining", flush=True)
    {drain}
    print("drained", flush=True)
sys.exit(run("test", main))
"""


@contextmanager
def started(script: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_lets_the_process_drain(number: signal.Signals) -> None:
    with started(DRAINS.format(drain="await asyncio.sleep(0)")) as process:
        assert said(process) == "ready"
        process.send_signal(number)
        assert said(process) == "draining"
        assert said(process) == "drained"
        assert process.wait(50) == 0


def test_hangup_does_not_end_what_is_to_outlive_its_terminal() -> None:
    ignores = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with started(ignores + DRAINS.format(drain="await asyncio.sleep(0)")) as process:
        assert said(process) == "ready"
        process.send_signal(signal.SIGHUP)
        process.terminate()
        assert said(process) == "draining"
        assert process.wait(50) == 0


def test_connection_that_was_given_up_fails_in_silence_and_a_bug_does_not() -> None:
    script = """
import gc, socket, ssl
async def main(stopping):
    loop = asyncio.get_running_loop()
    for error in (socket.gaierror(-2, "unknown"), ssl.SSLError("cut"), ValueError("a bug")):
        loop.create_future().set_exception(error)
    gc.collect()
sys.exit(run("test", main))
"""
    with started(script) as process:
        _, errors = process.communicate(timeout=60)
    assert "unknown" not in errors
    assert "cut" not in errors
    assert "ValueError: a bug" in errors


def test_second_signal_ends_the_process_at_once() -> None:
    with started(DRAINS.format(drain="await asyncio.sleep(60)")) as process:
        assert said(process) == "ready"
        process.terminate()
        assert said(process) == "draining"
        process.terminate()
        assert process.wait(50) == 130


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        ("UsageError('mend it')", 1, "trunkline test: mend it\n"),
        ("SettingsError(['A: bad'])", 2, "trunkline test: 1 setting is wrong:\n  A: bad\n"),
    ],
)
def test_usage_error_is_one_message_and_its_exit_code(error: str, code: int, text: str) -> None:
    script = f"async def main(stopping): raise {error}\nsys.exit(run('test', main))"
    with started(script) as process:
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (code, text)


def test_bug_shows_its_traceback() -> None:
    with started("async def main(stopping): 1 / 0\nrun('test', main)") as process:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "ZeroDivisionError" in stderr


class Worker:
    def __init__(self) -> None:
        self.is_running = asyncio.Event()
        self.was_cancelled = False

    async def run(self) -> None:
        self.is_running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.was_cancelled = True


async def test_background_ends_with_the_body() -> None:
    workers = [Worker(), Worker()]
    async with background(*(worker.run() for worker in workers)):
        for worker in workers:
            await worker.is_running.wait()
    assert all(worker.was_cancelled for worker in workers)


async def test_background_ends_when_the_body_fails() -> None:
    async def body() -> None:
        async with background(worker.run()):
            await worker.is_running.wait()
            raise KeyError("body")

    worker = Worker()
    with pytest.raises(KeyError, match="body"):
        await body()
    assert worker.was_cancelled


async def test_failure_in_the_background_ends_body_and_siblings() -> None:
    async def fail() -> None:
        await worker.is_running.wait()
        raise KeyError("background")

    worker = Worker()
    with pytest.raises(KeyError, match="background"):
        async with background(worker.run(), fail()):
            await asyncio.Event().wait()
    assert worker.was_cancelled


async def test_cancelled_body_stays_cancelled() -> None:
    async def body() -> None:
        async with background(worker.run()):
            await asyncio.Event().wait()

    worker = Worker()
    task = asyncio.create_task(body())
    await worker.is_running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worker.was_cancelled


def test_what_was_imported_costs_the_collector_nothing() -> None:
    script = """
import gc
async def main(stopping):
    print(gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000)
sys.exit(run("test", main))
"""
    with started(script) as process:
        assert said(process) == "True True"
        assert process.wait(50) == 0
