"""How many more calls this worker takes; shared by all its lanes."""

from __future__ import annotations

import asyncio

from workers import metrics

__all__ = ["Capacity"]


class Capacity:
    def __init__(self, calls: int) -> None:
        self._limit = calls
        self._running = 0
        self._reserved = 0
        self._has_room = asyncio.Event()
        self._is_closed = False
        self._update()

    @property
    def running(self) -> int:
        return self._running

    @property
    def load(self) -> float:
        """0.0 when nothing runs, 1.0 when full; more after taking over what others left."""
        return self._running / self._limit

    async def reserve(self) -> bool:
        """Waits for room for one more call and keeps it, until `release`; False once no more
        calls are to be taken."""
        while not self._is_closed and self._running + self._reserved >= self._limit:
            await self._has_room.wait()
        if not self._is_closed:
            self._reserved += 1
            self._update()
        return not self._is_closed

    def release(self) -> None:
        """Give back what was reserved; a call that came of it has been taken meanwhile."""
        self._reserved -= 1
        self._update()

    def take(self) -> None:
        self._running += 1
        self._update()

    def give_back(self) -> None:
        self._running -= 1
        self._update()

    def close(self) -> None:
        self._is_closed = True
        self._update()

    def _update(self) -> None:
        metrics.CALLS.set(self._running)
        if self._is_closed or self._running + self._reserved < self._limit:
            self._has_room.set()
        else:
            self._has_room.clear()
