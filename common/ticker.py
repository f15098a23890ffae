"""Waiting: for the next tick of a steady clock, or for a wake-up with a deadline."""

from __future__ import annotations

import asyncio

__all__ = ["Ticker", "Wakeup"]


class Ticker:
    """Ticks at most every `interval_s`. Ticks missed while the caller was busy are skipped, not
    made up for."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next = 0.0

    async def tick(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._next:
            await asyncio.sleep(self._next - now)
            self._next += self._interval_s
        else:
            self._next = now + self._interval_s


class Wakeup:
    """One waiter; `set()` wakes it, or the next `wait()` if nobody waits yet."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        self._is_set = True
        self._release()

    async def wait(self, deadline: float | None = None) -> None:
        """Returns after `set()`, or at `deadline` (loop time), whichever comes first."""
        if not self._is_set:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None if deadline is None else loop.call_at(deadline, self._release)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self._is_set = False

    def _release(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
