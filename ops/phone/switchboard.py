"""Place many calls at once, show how they get on, and hang all of them up on Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import aiohttp

from common.errors import UsageError
from ops.phone import printout
from ops.phone.call import Call
from ops.phone.dialect import Dialect
from ops.phone.line import CallRecord, Ending, Line, Script

__all__ = ["Placement", "Session", "place"]

#: Seconds between two calls being dialed, so that many do not all send in the same instant.
DIAL_INTERVAL_S = 0.005
#: Seconds between two looks at the progress line.
REDRAW_S = 0.25


class Placement(NamedTuple):
    """A call to be placed."""

    dialect: Dialect
    script: Script
    url: str


class Session(NamedTuple):
    """What came of all calls, in the order of their placements; `signal` cut them short."""

    records: list[CallRecord]
    signal: signal.Signals | None


async def place(placements: Sequence[Placement]) -> Session:
    """Raises UsageError when not one of the calls was taken."""
    lines = [Line(placement.dialect, placement.script) for placement in placements]
    refusals: list[str] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        calls = [
            Call(line, url=placement.url, session=session)
            for line, placement in zip(lines, placements, strict=True)
        ]
        with _hanging_up_on_signals(calls) as caught, _progress([line.record for line in lines]):
            async with asyncio.TaskGroup() as tasks:
                for line, call in zip(lines, calls, strict=True):
                    tasks.create_task(_run(call, line, refusals))
                    await asyncio.sleep(DIAL_INTERVAL_S)
    if len(refusals) == len(lines):
        raise UsageError("; ".join(dict.fromkeys(refusals)))
    return Session([line.record for line in lines], caught[0] if caught else None)


async def _run(call: Call, line: Line, refusals: list[str]) -> None:
    try:
        await call.run()
    except UsageError as error:
        line.fail(Ending.NOT_PLACED, str(error))
        refusals.append(str(error))


@contextlib.contextmanager
def _hanging_up_on_signals(calls: Sequence[Call]) -> Iterator[list[signal.Signals]]:
    """The first signal says goodbye on every call; the second ends the process as it used to."""
    caught: list[signal.Signals] = []
    loop = asyncio.get_running_loop()
    watched = [signal.SIGINT, signal.SIGTERM]
    if threading.current_thread() is not threading.main_thread():
        watched = []  # signals are the main thread's; whoever runs us elsewhere has no Ctrl-C

    def unwatch() -> None:
        while watched:
            number = watched.pop()
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    def hang_up(number: signal.Signals) -> None:
        caught.append(number)
        unwatch()
        for call in calls:
            call.hang_up()

    for number in watched:
        loop.add_signal_handler(number, hang_up, number)
    try:
        yield caught
    finally:
        unwatch()


@contextlib.contextmanager
def _progress(records: Sequence[CallRecord]) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    drawing = asyncio.get_running_loop().create_task(_draw(records))
    try:
        yield
    finally:
        drawing.cancel()
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


async def _draw(records: Sequence[CallRecord]) -> None:
    started = time.monotonic()
    while True:
        await asyncio.sleep(REDRAW_S)
        line = printout.progress_line(records, elapsed_s=time.monotonic() - started)
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r{line[:width]}\x1b[K")
        sys.stderr.flush()
