"""The handlers of a call have their turns one after another, in one task: whose turn it is, and how
to take it from a handler that goes on for too long."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["Turns"]


class Turns:
    def __init__(self) -> None:
        #: What is handled now, another object at each turn; None between two turns.
        self.subject: object = None
        #: The end of the call was handled; work that the agent spawned may still go on.
        self.are_over = False
        self._task: asyncio.Task[Any] | None = None
        self._limit: asyncio.Timeout | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody wants the task to end, or the turn."""
        return self._task is not None and self._task.cancelling() > 0

    async def take(self, handlers: Coroutine[Any, Any, None]) -> bool:
        """Until they are through; False when they were cut short."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.timeout(None) as self._limit:
                await handlers
        except TimeoutError:
            return False
        return True

    def cut_short(self) -> None:
        """Cancels the handler whose turn it is; no other of those that were taken follows."""
        if self._limit is not None and self.subject is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
