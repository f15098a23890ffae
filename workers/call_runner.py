"""One call from its first event to its last: fold the events through the agent, step by step.

A step is what one commit makes durable: commands, input cursor, agent state (`lua/commit.lua`).

Rule 1: a handler's commands leave as it issues them, but the cursor and the state move only when
        it has returned. `partial` counts what the unfinished handler has issued; an owner who
        takes over runs that handler again and does not issue those again.
Rule 2: at most one commit is on its way; what happens meanwhile goes into the next.
Rule 3: this is the only place of the worker that catches broadly. An agent that raises ends its
        own call, with a reason, and no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Any

from common.bus import Claim, Commit, CommitAnswer
from common.commands import Command, HangUp
from common.errors import WireError
from common.events import CallEnded, EndReason, Event
from common.tail import Entry
from common.ticker import Wakeup
from common.wire import decode_event, encode_command
from workers import metrics
from workers.agent import Agent
from workers.progress import Progress
from workers.scene import Scene, read_start
from workers.spawned import SpawnedWork

__all__ = ["CallRunner"]

_log = logging.getLogger(__name__)

# The run of a handler that the current code belongs to: tells whose commands count as `partial`.
# Tasks inherit it, so it names one run and not just "some handler": what outlives its handler, or
# reaches over from another call's, is not counted.
_handler: ContextVar[object] = ContextVar("_handler", default=None)


class CallRunner:
    """`on_progress` is called when there may be something to commit."""

    def __init__(
        self,
        call_id: str,
        claim: Claim,
        agent: type[Agent],
        *,
        executor: Executor,
        on_progress: Callable[[], None],
    ) -> None:
        self.call_id = call_id
        self.executor = executor
        self.lag_ms = 0
        self._progress = Progress(claim)
        started = read_start(claim.start)
        self._open: Callable[[], Scene] = lambda: Scene(agent, call_id, started, self, claim.state)
        #: None until the call runs, and once the agent has failed.
        self._scene: Scene | None = None
        self._handler: object = None
        self._inbox: deque[Entry] = deque()
        self._wakeup = Wakeup()
        self._spawned = SpawnedWork(call_id, on_failed=self._fail)
        self._already_issued = claim.partial
        self._on_progress = on_progress

    @property
    def backlog(self) -> int:
        return len(self._inbox)

    @property
    def is_settled(self) -> bool:
        return self._progress.is_settled

    def feed(self, entries: list[Entry]) -> None:
        self._inbox.extend(entries)
        self._wakeup.set()

    def next_commit(self, *, now: float) -> Commit | None:
        return self._progress.next_commit(now=now)

    def answered(self, answer: CommitAnswer) -> bool:
        """Whether the call is still ours after this answer to its commit."""
        metrics.COMMITS.labels(answer).inc()
        if answer in (CommitAnswer.COMMITTED, CommitAnswer.ALREADY):
            self._progress.committed()
            return True
        return False

    async def run(self) -> None:
        """Returns when the call has ended; then its keys may go."""
        try:
            self._begin()
            while True:
                while not self._inbox:
                    await self._wakeup.wait()
                entry = self._inbox.popleft()
                event = self._read(entry)
                if event is not None:
                    await self._handle(event)
                self._step_done(entry.sequence)
                if isinstance(event, CallEnded):
                    return
        finally:
            self._progress.close()
            await self._spawned.end()

    # What the call asks of us.

    def emit(self, command: Command) -> None:
        handler = _handler.get()
        if handler is not None and handler is self._handler:
            if self._already_issued:
                # The owner before us ran this handler as well, and got this far.
                self._already_issued -= 1
                return
            self._progress.partial += 1
        self._progress.commands.append(encode_command(command))
        self._on_progress()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        token = _handler.set(None)
        try:
            return self._spawned.start(coroutine)
        finally:
            _handler.reset(token)

    # The fold.

    def _read(self, entry: Entry) -> Event | None:
        try:
            envelope = decode_event(entry.data)
        except WireError as error:
            metrics.EVENTS_UNREADABLE.inc()
            _log.error("%s", error, extra={"call": self.call_id, "sequence": entry.sequence})
            return None
        lag_ms = max(0, time.time_ns() // 1_000_000 - envelope.at_ms)
        self.lag_ms = lag_ms
        metrics.LAG.observe(lag_ms / 1000)
        return envelope.event

    def _begin(self) -> None:
        try:
            self._scene = self._open()
        except Exception as error:  # noqa: BLE001 - rule 3
            self._give_up(error)

    async def _handle(self, event: Event) -> None:
        self._handler = object()
        token = _handler.set(self._handler)
        try:
            if self._scene is not None:
                await self._scene.handle(event)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            self._fail(error)  # of something that the agent awaited, not of the call
        except (Exception, SystemExit) as error:  # noqa: BLE001 - rule 3
            self._fail(error)
        finally:
            _handler.reset(token)
            self._handler = None

    def _step_done(self, sequence: int) -> None:
        progress = self._progress
        progress.cursor = sequence
        progress.partial = self._already_issued = 0
        if self._scene is not None:
            try:
                progress.state = self._scene.state() or progress.state
            except Exception as error:  # noqa: BLE001 - rule 3: the agent put it there
                self._fail(error)
        self._on_progress()

    def _fail(self, error: BaseException) -> None:
        """End the call: the agent cannot be trusted with another event of it."""
        if self._scene is not None:
            self._scene = None
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        _log.error("agent failed", exc_info=error, extra={"call": self.call_id})
        metrics.AGENT_FAILURES.inc()
        hang_up = HangUp(EndReason.AGENT_FAILED, type(error).__name__)
        self._progress.commands.append(encode_command(hang_up))
        self._on_progress()


def _is_cancelled() -> bool:
    """Whether somebody wants this very task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
