"""What a call's code issues, on its way into the next commit, and which of it is `partial`.

Commands leave as a handler issues them, but the cursor moves only when it has returned. `partial`
counts what the unfinished run has issued; an owner who takes over runs that handler again and does
not issue those again. What is issued beside the handlers (spawned work, `on_resumed`) is not
counted: nobody runs it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from common.commands import Command
from common.wire import encode_command
from workers.running.progress import Progress

__all__ = ["Outbox"]

# The run of a handler that the current code belongs to. Tasks inherit it, so it names one run and
# not just "some handler": what outlives its handler, or reaches over from another call's, is not
# counted.
_run: ContextVar[object] = ContextVar("_run", default=None)


class Outbox:
    """`on_progress` is called when there may be something to commit."""

    def __init__(self, progress: Progress, *, on_progress: Callable[[], None]) -> None:
        self._progress = progress
        self._on_progress = on_progress
        self._already_issued = progress.partial
        self._run: object = None
        self._is_closed = False

    @property
    def is_handling(self) -> bool:
        return self._run is not None

    def issue(self, command: Command) -> None:
        if self._is_closed:
            return
        run = _run.get()
        if run is not None and run is self._run:
            if self._already_issued:
                # The owner before us ran this handler as well, and got this far.
                self._already_issued -= 1
                return
            self._progress.partial += 1
        self._progress.commands.append(encode_command(command))
        self._on_progress()

    def begin_handler(self) -> None:
        """What is issued from now on, and by what inherits this context, is this handler's."""
        self._run = object()
        _run.set(self._run)

    def end_handler(self) -> None:
        self._run = None

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What begins inside belongs to no handler."""
        token = _run.set(None)
        try:
            yield
        finally:
            _run.reset(token)

    def close(self) -> None:
        """Nothing that is issued from now on counts: another owner will issue it."""
        self._is_closed = True

    def step_done(self, sequence: int, state: bytes | None) -> None:
        """The event `sequence` is handled; `state` is None where nothing is remembered."""
        if self._is_closed:
            return
        progress = self._progress
        progress.cursor = sequence
        progress.partial = self._already_issued = 0
        if state is not None:
            progress.state = state
        self._on_progress()
