"""Wait for a condition, with a deadline; never for a length of time.

A deadline is there to end what would wait for ever, so it is generous. Where a time is promised,
`Starvation` tells how much of it the machine took: what is ready to run and does not run is late
through no fault of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

__all__ = ["Starvation", "until", "waited_s"]


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], *, timeout: float = 20.0
) -> None:
    """Returns once `condition()` holds; TimeoutError when it does not come about."""
    async with asyncio.timeout(timeout):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.002)


class Starvation:
    """What the machine takes from these processes, beside this one, from now on: for how long their
    first threads are ready to run and wait for a processor (sched-stats.rst of Linux; nothing where
    the kernel does not count)."""

    def __init__(self, *pids: int) -> None:
        self._before = {pid: waited_s(pid) for pid in (os.getpid(), *pids)}

    @property
    def seconds(self) -> float:
        """Of all of them together; those that have ended since are left out."""
        return sum(max(0.0, waited_s(pid) - before) for pid, before in self._before.items())


def waited_s(pid: int) -> float:
    """For how long the first thread of a process has been ready to run and has waited, so far."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):  # it has ended, or nobody counts
        return 0.0
