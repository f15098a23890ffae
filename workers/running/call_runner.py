"""One call from its first event to its last: fold the events through the agent, step by step.

A step is what one commit makes durable: commands, input cursor, agent state (`lua/commit.lua`).

Rule 1: a handler begins only while the gate is open, and the cursor and the state move only when it
        has returned; its commands leave as it issues them (`workers/running/outbox.py`).
Rule 2: at most one commit is on its way; what happens meanwhile goes into the next.
Rule 3: this is the only place of the worker that catches broadly. An agent that raises ends its
        own call, with a reason, and no other.
Rule 4: a handler that was cut short was the last but the one for the call's end.
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
from workers.running.gate import Gate
from workers.running.inbox import Inbox
from workers.running.outbox import Outbox
from workers.running.progress import Progress
from workers.running.scene import Scene, read_start
from workers.running.spawned import SpawnedWork
from workers.running.turns import Turns

__all__ = ["CallRunner", "Surroundings"]

_log = logging.getLogger(__name__)

#: A call whose owners died so often, one after another at the same event, is not run again.
_MAX_DEATHS = 3


class Surroundings(NamedTuple):
    """What the calls of a worker share."""

    agent: type[Agent]
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
        surroundings: Surroundings,
        *,
        on_progress: Callable[[], None],
    ) -> None:
        self.call_id = call_id
        self.lag_ms = 0
        self._claim = claim
        self._surroundings = surroundings
        self._progress = Progress(claim)
        self._outbox = Outbox(self._progress, on_progress=on_progress)
        self._started = read_start(claim.start)
        #: None until the call runs, and once the agent has failed.
        self._scene: Scene | None = None
        self._inbox = Inbox(claim.cursor)
        self.turns = Turns()
        #: For `let_go`, which is the only one to wait for anything.
        self._changed: Wakeup | None = None
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

    @property
    def is_ending(self) -> bool:
        """Whether the end waits for the handler that runs, or is what it handles."""
        return isinstance(self.turns.subject, CallEnded) or self._inbox.holds_end()

    def foresee(self, latest: Entry) -> bool:
        """Whether this entry, which was not fed yet, is the call's end."""
        return self._inbox.foresee(latest)

    def abandon(self) -> None:
        """A handler does not hear of its cancellation: nothing that it does counts any more."""
        self.turns.give_up()
        self._outbox.close()
        self._progress.close()
        self._spawned.cancel()

    def next_commit(self, *, now: float) -> Commit | None:
        return self._progress.next_commit(now=now)

    def answered(self, answer: CommitAnswer) -> bool:
        """Whether the commit on its way is done with; where not, it stays on its way."""
        metrics.COMMITS.inc(answer)
        if answer is not CommitAnswer.COMMITTED and answer is not CommitAnswer.ALREADY:
            return False
        self._progress.committed()
        self._has_changed()
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
            if not await self.turns.take(self._begin()):
                self._inbox.skip_to_end()
            # Cut short, it goes on with the end, unless it was in that that it was cut short.
            while not await self.turns.take(self._fold()) and self._inbox.skip_to_end():
                pass
            self.turns.are_over = True
        finally:
            self._progress.close()
            await self._spawned.end()

    async def let_go(self, *, within_s: float) -> None:
        """Once the gate is shut: commit what is to be committed, and then nothing more. A handler
        that takes longer is left in the middle; the next owner runs it again."""
        self._changed = Wakeup()
        self._progress.hurry()
        await self._until(lambda: not self._outbox.is_handling, within_s)
        self._outbox.close()
        await self._until(lambda: self._progress.is_settled, within_s)
        self._progress.close()

    async def _until(self, is_so: Callable[[], bool], within_s: float) -> None:
        assert self._changed is not None
        deadline = asyncio.get_running_loop().time() + within_s
        while not is_so() and asyncio.get_running_loop().time() < deadline:
            await self._changed.wait(deadline)

    def _has_changed(self) -> None:
        if self._changed is not None:
            self._changed.set()

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

    async def _begin(self) -> None:
        agent = self._surroundings.last_words if self._is_poisoned else self._surroundings.agent
        try:
            self._scene = Scene(agent, self.call_id, self._started, self, self._claim.state)
            self._scene.check()
        except AgentError as error:
            self._refuse(error)
            return
        except Exception as error:  # noqa: BLE001 - rule 3
            self._give_up(error)
            return
        if self._claim.cursor or self._is_poisoned:
            with self._outbox.beside():
                await self._contain(self._scene.resume(), self._claim)
        if self._is_poisoned:
            self._end_poisoned()

    def _end_poisoned(self) -> None:
        metrics.CALLS_POISONED.inc()
        extra = {"call": self.call_id, "deaths": self._claim.deaths}
        _log.error("call is ended: its workers die of it", extra=extra)
        self._scene = None
        self._hang_up("killed its workers")

    async def _fold(self) -> None:
        """Returns when the call's end is handled."""
        inbox, gate = self._inbox, self._surroundings.gate
        event: Event | None = None
        while not isinstance(event, CallEnded):
            if not inbox:
                await inbox.has_next()
            if not gate.is_open:
                await gate.passed()
            entry = inbox.next()
            event = self._read(entry)
            if isinstance(event, CallEnded):
                inbox.end_has_come()
            if event is not None and self._scene is not None:
                self._outbox.begin_handler()
                try:
                    await self._contain(self._scene.handle(event), event)
                finally:
                    self._outbox.end_handler()
            self._step_done(entry.sequence)

    def _read(self, entry: Entry) -> Event | None:
        try:
            envelope = decode_event(entry.data)
        except WireError as error:
            metrics.EVENTS_UNREADABLE.inc()
            _log.error("%s", error, extra={"call": self.call_id, "sequence": entry.sequence})
            return None
        self.lag_ms = lag_ms = max(0, time.time_ns() // 1_000_000 - envelope.at_ms)
        metrics.LAG.observe(lag_ms / 1000)
        return envelope.event

    async def _contain(self, handler: Awaitable[None], subject: object) -> None:
        self.turns.subject = subject
        try:
            await handler
        except asyncio.CancelledError as error:
            if self.turns.is_cancelled:
                raise
            self._fail(error)  # of something that the agent awaited, not of the call
        except (Exception, SystemExit) as error:  # noqa: BLE001 - rule 3
            self._fail(error)
        finally:
            self.turns.subject = None
        if self.turns.is_cancelled:  # and the agent kept it to itself
            raise asyncio.CancelledError

    def _step_done(self, sequence: int) -> None:
        state = None
        if self._scene is not None:
            try:
                state = self._scene.state()
            except Exception as error:  # noqa: BLE001 - rule 3: the agent put it there
                self._fail(error)
        self._outbox.step_done(sequence, state)
        self._has_changed()

    def _fail(self, error: BaseException) -> None:
        """End the call: the agent cannot be trusted with another event of it."""
        if self._scene is not None:
            self._scene = None
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        metrics.AGENT_FAILURES.inc()
        _log.error("agent failed", exc_info=error, extra={"call": self.call_id})
        self._hang_up(type(error).__name__)

    def _refuse(self, error: AgentError) -> None:
        """End the call before the agent has seen it: it would get stuck half-way."""
        self._scene = None
        metrics.AGENT_FAILURES.inc()
        _log.error("agent cannot have the call: %s", error, extra={"call": self.call_id})
        self._hang_up("agent cannot have it")

    def _hang_up(self, detail: str) -> None:
        with self._outbox.beside():
            self._outbox.issue(HangUp(EndReason.AGENT_FAILED, detail))
