"""The calls that this worker owns on one lane: from the claim to the end, loss or handover."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from common import bus
from common.bus import Claim
from common.errors import WireError
from common.events import EndReason
from common.keys import CallKeys
from common.writer import Writer
from workers import metrics
from workers.ownership.capacity import Capacity
from workers.ownership.committer import Committer
from workers.ownership.curfew import Curfew
from workers.ownership.owned_call import OwnedCall
from workers.ownership.reader import EventReader
from workers.ownership.restoration import Restoration
from workers.running.call_runner import CallRunner, Surroundings
from workers.settings import WorkerSettings

__all__ = ["OwnedCalls"]

_log = logging.getLogger(__name__)

#: How long a handler may go on, and its commits may take, when its call is handed over.
_LET_GO_S = 0.1
#: How long the rest of a call may take to hear that it is cancelled, before it is left alone.
_LEAVE_S = 0.5


class OwnedCalls:
    """Every call that gets in by `own` gives its capacity back when it gets out. `on_got_further`
    is told of each that is past its beginning, or over (`workers/ownership/claims.py`, rule 4)."""

    def __init__(
        self,
        settings: WorkerSettings,
        surroundings: Surroundings,
        capacity: Capacity,
        writer: Writer,
        reader: EventReader,
        on_got_further: Callable[[str], None],
    ) -> None:
        self._surroundings = surroundings
        self._capacity = capacity
        self._writer = writer
        self._reader = reader
        self._calls: dict[OwnedCall, asyncio.Task[None]] = {}
        self._released: set[OwnedCall] = set()
        self._restoration = Restoration(
            writer,
            lease_ms=settings.lease_ms,
            on_restored=self._restored,
            on_lost=self.given_up,
            on_gone=self._gone,
        )
        self._committer = Committer(
            writer,
            on_committed=self._committed,
            on_refused=self._restore,
            on_lost=self.given_up,
        )
        self._curfew = Curfew(
            self._calls,
            writer,
            reader,
            timeout_s=settings.end_timeout_s,
            on_deaf=self._abandon,
        )
        self._on_got_further = on_got_further

    async def run(self) -> None:
        """What is to be done for the calls from time to time."""
        await self._curfew.run()

    def own(self, keys: CallKeys, token: str, claim: Claim) -> None:
        try:
            runner = CallRunner(
                keys.call_id,
                claim,
                self._surroundings,
                on_progress=lambda: self._committer.progressed(call),
            )
        except WireError as error:
            _log.error("cannot run call: %s", error, extra={"call": keys.call_id})
            self._capacity.give_back()
            self._finish(keys, token)
            return
        call = OwnedCall(keys, token, claim.edge_id, runner)
        self._calls[call] = asyncio.create_task(self._run(call), name=f"call {keys.call_id}")
        self._reader.follow(call, after=claim.cursor)
        _log.info("call taken", extra={"call": keys.call_id})

    def lost(self, call: OwnedCall) -> None:
        """Another worker owns the call, or nobody can any more."""
        task = self._calls.get(call)
        if task is not None:
            _log.warning("call is not ours any more", extra={"call": call.keys.call_id})
            task.cancel()

    def given_up(self, call: OwnedCall) -> None:
        """Redis cannot keep the call: where it is still ours, nobody else will end it."""
        self.lost(call)
        self._finish(call.keys, call.token)

    def is_said_to_be_ours(self, keys: CallKeys, token: str) -> None:
        """By Redis, though we may have ended the call: then a failover has lost its end."""
        if not any(call.token == token for call in self._calls):
            _log.warning("call is ended again", extra={"call": keys.call_id})
            self._finish(keys, token)

    async def verify(self, *, may_restore: bool) -> None:
        """See `workers.ownership.lease.Ward`."""
        calls = list(self._calls)
        questions = [self._writer.ask(bus.owner_of(call.keys)) for call in calls]
        for call, owner in zip(calls, await asyncio.gather(*questions), strict=True):
            if owner == call.token.encode():
                continue
            if may_restore and not owner:
                self._restore(call)
            else:
                self.lost(call)

    def end_calls_of(self, dead_edges: list[str]) -> None:
        """The callers of a dead edge are gone."""
        for call in list(self._calls) if dead_edges else ():
            if call.edge_id in dead_edges and call.runner.end(EndReason.EDGE_LOST, "edge died"):
                _log.warning("call has lost its edge", extra={"call": call.keys.call_id})

    async def hand_over(self) -> None:
        """Give every call to whoever has room. The gate is shut."""
        await asyncio.gather(*(self._hand_over(call) for call in list(self._calls)))

    async def leave_behind(self) -> None:
        """End what still runs; the calls stay as they are in Redis."""
        tasks = list(self._calls.values())
        for task in tasks:
            task.cancel()
        if tasks:
            _, deaf = await asyncio.wait(tasks, timeout=_LEAVE_S)
            if deaf:
                _log.warning("handlers do not end with their calls", extra={"calls": len(deaf)})

    async def _run(self, call: OwnedCall) -> None:
        try:
            await call.runner.run()
            _log.info("call finished", extra={"call": call.keys.call_id})
            self._finish(call.keys, call.token)
        finally:
            self._forget(call)

    def _abandon(self, call: OwnedCall) -> None:
        """Its handler cannot be ended; where the call is still ours, nobody else will end it."""
        task = self._calls.get(call)
        if task is not None:
            call.runner.abandon()
            task.cancel()
            self._forget(call)
            self._finish(call.keys, call.token)

    def _forget(self, call: OwnedCall) -> None:
        if self._calls.pop(call, None) is not None:  # else it was abandoned before
            self._reader.forget(call)
            self._committer.forget(call)
            self._restoration.forget(call)
            self._released.discard(call)
            self._capacity.give_back()
            self._on_got_further(call.keys.call_id)

    async def _hand_over(self, call: OwnedCall) -> None:
        self._reader.forget(call)
        letting_go = asyncio.create_task(call.runner.let_go(within_s=_LET_GO_S))
        self._committer.progressed(call)
        await letting_go
        task = self._calls.get(call)
        if task is None:
            return  # it has ended meanwhile
        if call.runner.turns.are_over:
            await asyncio.wait((task,))
            return
        self._released.add(call)
        if await self._writer.ask(bus.release(call.keys, call.token)) == b"RELEASED":
            metrics.HANDOVERS.inc()
            _log.info("call handed over", extra={"call": call.keys.call_id})
        task.cancel()

    def _restore(self, call: OwnedCall) -> None:
        # One that has ended meanwhile would be given back for nobody to end it; one that we have
        # released is to have another owner.
        if call in self._calls and call not in self._released:
            self._restoration.begin(call)

    def _gone(self, call: OwnedCall) -> None:
        """Redis has lost the call, and no edge announces it again: its caller is gone as well."""
        if call.runner.end(EndReason.EDGE_LOST, "no edge knows the call"):
            _log.warning("call is gone from Redis for good", extra={"call": call.keys.call_id})

    def _restored(self, call: OwnedCall) -> None:
        self._committer.repeat(call)

    def _committed(self, call: OwnedCall) -> None:
        if call.runner.is_past_its_beginning:
            self._on_got_further(call.keys.call_id)

    def _finish(self, keys: CallKeys, token: str) -> None:
        self._writer.submit(bus.finish(keys, token), partial(_finished, keys.call_id))


def _finished(call_id: str, reply: Any) -> None:
    if reply not in (b"FINISHED", b"GONE", b"FENCED"):
        _log.warning("the end of a call was refused: %s", reply, extra={"call": call_id})
