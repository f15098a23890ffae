"""The handlers of a call have their turns one after another, in one task: whose turn it is, and how
to take it from a handler that goes on for too long.

Rule 1: it is the handler that is at work now that is cut short, at once: a cancellation that came
        a pass of the loop later might meet the next one.
Rule 2: that the task is cancelled is not for a handler to take back (`Task.uncancel`).
"""

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
        self._is_cut = False
        self._are_given_up = False

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody wants the task to end, or the turn."""
        is_wanted = self._is_cut or self._are_given_up
        return is_wanted or (self._task is not None and self._task.cancelling() > 0)

    async def take(self, handlers: Coroutine[Any, Any, None]) -> bool:
        """Until they are through; False when they were cut short."""
        self._task = task = asyncio.current_task()
        assert task is not None
        self._is_cut = False
        try:
            await handlers
        except asyncio.CancelledError:
            if self._are_given_up or not self._is_cut or task.uncancel() > 0:
                raise
            self._is_cut = False
            return False
        return True

    def cut_short(self) -> None:
        """Cancels the handler whose turn it is; no other of those that were taken follows."""
        if self._task is not None and self.subject is not None:
            self._is_cut = True
            self._task.cancel()

    def give_up(self) -> None:
        """None follows, whatever becomes of the one whose turn it is."""
        self._are_given_up = True
