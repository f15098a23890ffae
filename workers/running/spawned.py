"""The work that an agent lets run beside its handlers: `call.spawn`.

Not durable: it lives and dies with this owner of the call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from common.errors import AgentError

__all__ = ["SpawnedWork"]

_log = logging.getLogger(__name__)

#: How long spawned work may take to notice that its call is over.
_END_S = 1.0


class SpawnedWork:
    """`on_failed` gets what a task raised."""

    def __init__(self, call_id: str, *, on_failed: Callable[[BaseException], None]) -> None:
        self._call_id = call_id
        self._on_failed = on_failed
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(_contained(coroutine), name=f"spawned by {self._call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        # Cancelled before it began, the wrapper leaves the coroutine unawaited.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def end(self) -> None:
        """Cancel what still runs, and wait for it, within reason."""
        if not self._tasks:
            return
        self.cancel()
        _, left = await asyncio.wait(self._tasks, timeout=_END_S)
        if left:
            extra = {"call": self._call_id, "tasks": len(left)}
            _log.warning("spawned work does not end with its call", extra=extra)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failed(error)


async def _contained(coroutine: Coroutine[Any, Any, None]) -> None:
    """An agent that exits ends its call, not the worker."""
    try:
        await coroutine
    except SystemExit as error:
        raise AgentError(f"exits with {error.code}") from error
