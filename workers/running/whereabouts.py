"""Where an agent's code is just now, in words for the log."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

__all__ = ["of_thread", "of_waiting"]

#: An agent's code is called by these.
_CALLERS = frozenset({"workers.running.scene", "workers.running.spawned"})


def of_waiting(task: asyncio.Task[None]) -> dict[str, str]:
    """The agent's handler that the task is in, its line, and the function that it waits in; nothing
    where it is in none."""
    return _told(_awaited(task))


def of_thread(thread_id: int) -> dict[str, str]:
    """The same of what a thread runs."""
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - how else
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return _told(reversed(frames))


def _awaited(task: asyncio.Task[None]) -> Iterator[FrameType]:
    """What the task is in the middle of, from the outside in."""
    awaited: object = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "cr_await", None)


def _told(frames: Iterable[FrameType]) -> dict[str, str]:
    handler = innermost = None
    caller = ""
    for frame in frames:
        module = frame.f_globals.get("__name__", "")
        if caller in _CALLERS and _is_agent(module):
            handler = frame
        caller, innermost = module, frame
    if handler is None:
        return {}
    file = Path(handler.f_code.co_filename).name
    told = {"handler": handler.f_code.co_qualname, "at": f"{file}:{handler.f_lineno}"}
    if innermost is not None and innermost is not handler:
        told["inside"] = innermost.f_code.co_qualname
    return told


def _is_agent(module: str) -> bool:
    """Whoever writes it, it is none of the worker's own modules; those that come with it are."""
    return not module.startswith("workers.") or module.startswith("workers.agents.")
