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
from typing import Any, NamedTuple

import msgspec

from common.audio import AudioFormat
from common.bus import Claim, Commit, CommitAnswer
from common.commands import Command, HangUp
from common.errors import AgentError, WireError
from common.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    DtmfReceived,
    EndReason,
    Event,
    MarkReached,
    ProviderFailed,
)
from common.tail import Entry
from common.ticker import Wakeup
from common.wire import decode_event, encode_command
from workers import metrics
from workers.agent import Agent
from workers.call import Call
from workers.progress import Progress
from workers.sound import HeardAudio

__all__ = ["CallRunner"]

_log = logging.getLogger(__name__)

#: How long spawned work may take to notice that its call is over.
_SPAWNED_END_S = 1.0

# The run of a handler that the current code belongs to: tells whose commands count as `partial`.
# Tasks inherit it, so it names one run and not just "some handler": what outlives its handler, or
# reaches over from another call's, is not counted.
_handler: ContextVar[object] = ContextVar("_handler", default=None)


class _Scene(NamedTuple):
    agent: Agent
    call: Call


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
        started = _started(claim.start)
        self._open: Callable[[], _Scene] = lambda: _Scene(
            agent(), Call(call_id, started, self, _state(agent, claim.state))
        )
        #: None until the call runs, and once the agent has failed.
        self._scene: _Scene | None = None
        self._handler: object = None
        self._inbox: deque[Entry] = deque()
        self._wakeup = Wakeup()
        self._spawned: set[asyncio.Task[None]] = set()
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
            await self._end_spawned()

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
            task = asyncio.create_task(_contained(coroutine), name=f"spawned by {self.call_id}")
        finally:
            _handler.reset(token)
        self._spawned.add(task)
        task.add_done_callback(self._spawned_done)
        # Cancelled before it began, the wrapper leaves the coroutine unawaited.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    async def _end_spawned(self) -> None:
        if not self._spawned:
            return
        for task in self._spawned:
            task.cancel()
        _, left = await asyncio.wait(self._spawned, timeout=_SPAWNED_END_S)
        if left:
            extra = {"call": self.call_id, "tasks": len(left)}
            _log.warning("spawned work does not end with its call", extra=extra)

    def _spawned_done(self, task: asyncio.Task[None]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

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
            await self._dispatch(event)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            self._fail(error)  # of something that the agent awaited, not of the call
        except (Exception, SystemExit) as error:  # noqa: BLE001 - rule 3
            self._fail(error)
        finally:
            _handler.reset(token)
            self._handler = None

    async def _dispatch(self, event: Event) -> None:
        if self._scene is None:
            return  # the agent has failed
        agent, call = self._scene
        match event:
            case CallStarted():
                _check_listen(agent, event.format)
                await agent.on_start(call)
            case AudioReceived(track=track) if track in agent.tracks:
                await agent.on_audio(call, HeardAudio(event, call.format))
            case DtmfReceived():
                await agent.on_dtmf(call, event)
            case MarkReached():
                await agent.on_mark(call, event)
            case ProviderFailed():
                await agent.on_error(call, event)
            case CallEnded():
                await agent.on_stop(call, event)

    def _step_done(self, sequence: int) -> None:
        progress = self._progress
        progress.cursor = sequence
        progress.partial = self._already_issued = 0
        if self._scene is not None and self._scene.agent.State is not None:
            try:
                progress.state = msgspec.msgpack.encode(self._scene.call.state)
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


async def _contained(coroutine: Coroutine[Any, Any, None]) -> None:
    """An agent that exits ends its call, not the worker."""
    try:
        await coroutine
    except SystemExit as error:
        raise AgentError(f"exits with {error.code}") from error


def _is_cancelled() -> bool:
    """Whether somebody wants this very task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _started(data: bytes) -> CallStarted:
    event = decode_event(data).event
    if not isinstance(event, CallStarted):
        raise WireError(f"a call begins with {type(event).__name__}")
    return event


def _state(agent: type[Agent], stored: bytes) -> msgspec.Struct | None:
    if agent.State is None:
        return None
    return msgspec.msgpack.decode(stored, type=agent.State) if stored else agent.State()


def _check_listen(agent: Agent, heard: AudioFormat) -> None:
    """Audio that cannot be had in the agent's format is said at once, never silence."""
    if agent.listen is not None and agent.listen.rate_hz != heard.rate_hz:
        name = type(agent).__name__
        raise AgentError(f"{name} listens at {agent.listen.rate_hz} Hz, the call is {heard}")
