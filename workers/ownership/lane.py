"""A worker's side of one lane: its links to Redis, and the parts put together."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor

from common import membership, process
from common.errors import LinkError
from common.keys import Lane
from common.link import Link
from common.writer import Writer
from workers.agent import Agent
from workers.ownership.capacity import Capacity
from workers.ownership.claims import Claims
from workers.ownership.dispatch import Dispatch
from workers.ownership.intake import Intake
from workers.ownership.lease import Lease
from workers.ownership.owned_calls import OwnedCalls
from workers.ownership.reader import EventReader
from workers.ownership.takeover import Takeover
from workers.running.call_runner import Surroundings
from workers.running.gate import Gate
from workers.running.last_words import last_words
from workers.settings import WorkerSettings

__all__ = ["WorkerLane"]

_log = logging.getLogger(__name__)


class WorkerLane:
    def __init__(
        self,
        lane: Lane,
        worker_id: str,
        settings: WorkerSettings,
        agent: type[Agent],
        executor: Executor,
        capacity: Capacity,
    ) -> None:
        timeout_s = settings.redis_timeout_ms / 1000
        self._links = [Link(settings.redis_url, timeout_s=timeout_s, lane=lane) for _ in range(4)]
        read_link, write_link, self._take_link, self._lease_link = self._links
        self._gate = Gate()
        self._writer = Writer(write_link, tick_s=0.0)
        self._reader = EventReader(
            read_link,
            tick_s=settings.tick_ms / 1000,
            on_unreadable=lambda call: self._calls.given_up(call),
        )
        self._calls = OwnedCalls(
            settings,
            Surroundings(agent, executor, self._gate, last_words(settings.fallback_prompt)),
            capacity,
            self._writer,
            self._reader,
            on_got_further=lambda call_id: self._claims.got_further(call_id),
        )
        own, is_ours = self._calls.own, self._calls.is_said_to_be_ours
        self._claims = Claims(lane, worker_id, self._writer, capacity, own, is_ours)
        new, orphaned = (
            Dispatch(lane, worker_id, link, self._claims)
            for link in (self._take_link, self._lease_link)
        )
        self._intake = Intake(new, capacity)
        self._takeover = Takeover(orphaned, capacity)
        self._lease = Lease(lane, worker_id, self._lease_link, self._gate, settings)
        self._goodbye = membership.leave(lane, worker_id)

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`, takes calls and runs them; then hands them over. Cancelled, it leaves
        them behind."""
        try:
            async with process.background(
                self._writer.run(), self._reader.run(), self._calls.run(), self._lease.run(self)
            ):
                async with process.background(self._intake.run()):
                    await stopping.wait()
                await self._hand_over()
            await self._say_goodbye()
        finally:
            await self._calls.leave_behind()
            for link in self._links:
                await link.close()

    # What the lease asks for.

    async def verify(self, *, may_restore: bool) -> None:
        await self._calls.verify(may_restore=may_restore)

    async def take_over(self, dead_workers: list[str], *, until: float) -> None:
        await self._takeover.of(dead_workers, until=until)

    def end_calls_of(self, dead_edges: list[str]) -> None:
        self._calls.end_calls_of(dead_edges)

    async def _hand_over(self) -> None:
        self._gate.shut()
        self._claims.close()
        # What is handed over must not come back to us: Redis has to know that we wait no more.
        await self._take_link.close()
        await self._writer.ask((b"PING",))
        await self._calls.hand_over()
        await self._writer.flushed()

    async def _say_goodbye(self) -> None:
        try:
            (left,) = await self._lease_link.execute([self._goodbye])
        except LinkError as error:
            _log.warning("no goodbye: %s", error)
            return
        if left:
            _log.warning("calls are left to the others", extra={"calls": left})
