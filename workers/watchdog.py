"""Look from a thread of its own whether the event loop runs, and say which handler keeps it.

A handler that computes, or waits without `await`, holds up every call of the process. After a lease
the others take them over; the call that did it is recognised by its progress
(`workers/ownership/claims.py`). What is left is a process that serves nobody: it ends itself, for
its supervisor to start another.

Rule 1: time is counted in slices that the thread has seen pass, so that a process that was stopped
        as a whole, or a machine that slept, is not taken for a loop that stands still.
Rule 2: nobody is accused but a handler that runs, and ran at the look before: a machine that is
        only busy shows now one and now another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workers import metrics
from workers.running import whereabouts

__all__ = ["Watchdog"]

_log = logging.getLogger(__name__)


class Watchdog:
    """Warns after `warn_after_s`, ends the process after `end_after_s` (0: never)."""

    def __init__(
        self, *, warn_after_s: float, end_after_s: float, end: Callable[[], None] | None = None
    ) -> None:
        self._slice_s = warn_after_s / 2
        self._warn_after_s = warn_after_s
        self._end_after_s = end_after_s
        self._end = end or _end_process
        self._is_over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches the loop that runs now, in this thread."""
        watched = (asyncio.get_running_loop(), threading.get_ident())
        threading.Thread(target=self._watch, args=watched, name="watchdog", daemon=True).start()
        try:
            yield
        finally:
            self._is_over.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        while not self._is_over.wait(self._slice_s):
            answered = threading.Event()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # it has been closed
                return
            self._see_through(answered, loop, thread_id)

    def _see_through(
        self, answered: threading.Event, loop: asyncio.AbstractEventLoop, thread_id: int
    ) -> None:
        stood_s, suspect, has_warned = 0.0, "", False
        while not answered.wait(self._slice_s) and not self._is_over.is_set():
            stood_s += self._slice_s
            culprit = _running(loop, thread_id)
            last, suspect = suspect, f"{culprit.get('call')} {culprit.get('handler')}"
            if not culprit or suspect != last:
                continue
            extra = {**culprit, "seconds": round(stood_s, 1)}
            if stood_s >= self._warn_after_s and not has_warned:
                has_warned = True
                metrics.LOOP_BLOCKED.inc()
                _log.warning("a handler blocks the process and all its calls", extra=extra)
            if 0 < self._end_after_s <= stood_s:
                _log.error("the process ends itself: a handler blocks it", extra=extra)
                self._end()


def _running(loop: asyncio.AbstractEventLoop, thread_id: int) -> dict[str, str]:
    """The handler that runs, and of which call; nothing where none does."""
    told = whereabouts.of_thread(thread_id)
    task = asyncio.current_task(loop)
    if not told or task is None:
        return {}
    return {"call": task.get_name().rpartition(" ")[2], **told}


def _end_process() -> None:
    sys.stderr.flush()
    os._exit(1)
