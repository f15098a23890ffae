"""Run one process of the system: settings, log, event loop, signals, exit code.

The first SIGTERM, SIGINT or SIGHUP (a terminal that was closed) sets `stopping`, and the main
coroutine drains; a second ends the process at once. Signal handlers only set the event: an
exception raised from a handler would land in whichever task happens to run.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from common.errors import UsageError

__all__ = ["background", "run"]

_ENDED_BY_SECOND_SIGNAL = 130


def run(name: str, main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Exit code of the process: 0 after a clean end, the error's own after a UsageError."""
    _keep_what_was_imported()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(main))
    except UsageError as error:
        print(f"trunkline {name}: {error}", file=sys.stderr)  # noqa: T201 - before any log
        return error.exit_code
    return 0


def _keep_what_was_imported() -> None:
    """Python's collector would go through it again and again, and stand still for all calls: 19 to
    44 ms for the 65,000 objects of an edge, more with what agents import."""
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these beside the body and cancel them when it ends. Should one of them fail, the body
    is cancelled and the failure raised: half a process is worse than none."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(_ENDED_BY_SECOND_SIGNAL)
        stopping.set()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_mind)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Who started us with nohup wants us to outlive the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop)
    await main(stopping)


def _mind(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A connection that was given up before its host was found, or TLS agreed upon, fails all the
    same, for nobody: uvloop leaves that in a future. Who gave it up has said so."""
    failure = context.get("exception")
    if not ("future" in context and isinstance(failure, socket.gaierror | ssl.SSLError)):
        loop.default_exception_handler(context)
