"""One call from its first event to its last: fold the events through the agent, step by step.

A step is what one commit makes durable: commands, input cursor, agent state (`lua/commit.lua`).

Rule 1: a handler begins only while the gate is open, and the cursor and the state move only when it
        has returned; its commands leave as it issues them (`workers/outbox.py`).
Rule 2: at most one commit is on its way; what happens meanwhile goes into the next.
Rule 3: this is the only place of the worker that catches broadly. An agent that raises ends its
        own call, with a reason, and no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, NamedTuple

from common.bus import Claim, Commit, CommitAnswer, Restored
from common.commands import Command, HangUp
from common.errors import AgentError, WireError
from common.events import CallEnded, EndReason, Event
from common.tail import Entry
from common.ticker import Wakeup
from common.wire import decode_event, encode_event
from workers import metrics
from workers.agent import Agent
from workers.gate import Gate
from workers.inbox import Inbox
from workers.outbox import Outbox
from workers.progress import Progress
from workers.scene import Scene, read_start
from workers.spawned import SpawnedWork

__all__ = ["CallRunner", "Surroundings"]

_log = logging.getLogger(__name__)

#: A call whose owners died so often, one after another at the same event, is not run again.
_MAX_DEATHS = 3


class Surroundings(NamedTuple):
    """What the calls of a worker share."""

    executor: Executor
    gate: Gate
    #: Runs in the place of an agent whose workers die of a call.
    last_words: type[Agent]


class CallRunner:
    """`on_progress` is called when there may be something to commit."""

    def __init__(
        self,
        call_id: str,
        claim: Claim,
        agent: type[Agent],
        surroundings: Surroundings,
        *,
        on_progress: Callable[[], None],
    ) -> None:
        self.call_id = call_id
        self.lag_ms = 0
        #: Its end is handled; `run` may still wait for work that the agent spawned.
        self.is_over = False
        self._claim = claim
        self._surroundings = surroundings
        self._progress = Progress(claim)
        self._outbox = Outbox(self._progress, on_progress=on_progress)
        started = read_start(claim.start)
        if self._is_poisoned:
            agent = surroundings.last_words
        self._open: Callable[[], Scene] = lambda: Scene(agent, call_id, started, self, claim.state)
        #: None until the call runs, and once the agent has failed.
        self._scene: Scene | None = None
        self._inbox = Inbox(claim.cursor)
        self._changed = Wakeup()
        self._spawned = SpawnedWork(call_id, on_failed=self._fail)

    @property
    def backlog(self) -> int:
        return len(self._inbox)

    @property
    def is_settled(self) -> bool:
        return self._progress.is_settled

    @property
    def _is_poisoned(self) -> bool:
        return self._claim.deaths >= _MAX_DEATHS

    @property
    def is_past_its_beginning(self) -> bool:
        """Whether it got further, durably, than the owner before."""
        return self._progress.committed_cursor > self._claim.cursor

    def feed(self, entries: list[Entry]) -> None:
        self._inbox.feed(entries)

    def end(self, reason: EndReason, detail: str) -> bool:
        """The call is over, though nobody is left at the edge to say so; False if said before."""
        ended = CallEnded(reason, detail)
        return self._inbox.feed_last(encode_event(ended, at_ms=time.time_ns() // 1_000_000))

    def next_commit(self, *, now: float) -> Commit | None:
        return self._progress.next_commit(now=now)

    def answered(self, answer: CommitAnswer) -> bool:
        """Whether the commit on its way is done with; where not, it stays on its way."""
        metrics.COMMITS.labels(answer).inc()
        if answer not in (CommitAnswer.COMMITTED, CommitAnswer.ALREADY):
            return False
        self._progress.committed()
        self._changed.set()
        return True

    def repeat(self) -> Commit | None:
        """The commit on its way."""
        return self._progress.repeat()

    def remembered(self) -> Restored:
        """What Redis should know of the call."""
        return self._progress.remembered()

    async def run(self) -> None:
        """Returns when the call has ended; then its keys may go."""
        try:
            await self._surroundings.gate.passed()
            await self._begin()
            while True:
                await self._inbox.has_next()
                await self._surroundings.gate.passed()
                entry = self._inbox.next()
                event = self._read(entry)
                if event is not None:
                    await self._handle(event)
                self._step_done(entry.sequence)
                if isinstance(event, CallEnded):
                    self.is_over = True
                    return
        finally:
            self._progress.close()
            await self._spawned.end()

    async def let_go(self, *, within_s: float) -> None:
        """Once the gate is shut: commit what is to be committed, and then nothing more. A handler
        that takes longer is left in the middle; the next owner runs it again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        self._progress.hurry()
        while self._outbox.is_handling and loop.time() < deadline:
            await self._changed.wait(deadline)
        self._outbox.close()
        deadline = loop.time() + within_s
        while not self._progress.is_settled and loop.time() < deadline:
            await self._changed.wait(deadline)
        self._progress.close()

    # What the call asks of us.

    @property
    def executor(self) -> Executor:
        return self._surroundings.executor

    def emit(self, command: Command) -> None:
        self._outbox.issue(command)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        with self._outbox.beside():
            return self._spawned.start(coroutine)

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

    async def _begin(self) -> None:
        try:
            self._scene = self._open()
        except Exception as error:  # noqa: BLE001 - rule 3
            self._give_up(error)
            return
        try:
            self._scene.check()
        except AgentError as error:
            self._refuse(error)
            return
        if self._claim.cursor or self._is_poisoned:
            with self._outbox.beside():
                await self._contain(self._scene.resume())
        if self._is_poisoned:
            self._end_poisoned()

    def _end_poisoned(self) -> None:
        metrics.CALLS_POISONED.inc()
        extra = {"call": self.call_id, "deaths": self._claim.deaths}
        _log.error("call is ended: its workers die of it", extra=extra)
        self._scene = None
        self._hang_up("killed its workers")

    async def _handle(self, event: Event) -> None:
        if self._scene is not None:
            with self._outbox.handler():
                await self._contain(self._scene.handle(event))

    async def _contain(self, handler: Awaitable[None]) -> None:
        try:
            await handler
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            self._fail(error)  # of something that the agent awaited, not of the call
        except (Exception, SystemExit) as error:  # noqa: BLE001 - rule 3
            self._fail(error)
        if _is_cancelled():  # and the agent kept it to itself
            raise asyncio.CancelledError

    def _step_done(self, sequence: int) -> None:
        state = None
        if self._scene is not None:
            try:
                state = self._scene.state()
            except Exception as error:  # noqa: BLE001 - rule 3: the agent put it there
                self._fail(error)
        self._outbox.step_done(sequence, state)
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        """End the call: the agent cannot be trusted with another event of it."""
        if self._scene is not None:
            self._scene = None
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        _log.error("agent failed", exc_info=error, extra={"call": self.call_id})
        metrics.AGENT_FAILURES.inc()
        self._hang_up(type(error).__name__)

    def _refuse(self, error: AgentError) -> None:
        """End the call before the agent has seen it: it would get stuck half-way."""
        self._scene = None
        _log.error("agent cannot have the call: %s", error, extra={"call": self.call_id})
        metrics.AGENT_FAILURES.inc()
        self._hang_up("agent cannot have it")

    def _hang_up(self, detail: str) -> None:
        with self._outbox.beside():
            self._outbox.issue(HangUp(EndReason.AGENT_FAILED, detail))


def _is_cancelled() -> bool:
    """Whether somebody wants this very task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
