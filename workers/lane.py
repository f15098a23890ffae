"""The calls that this worker owns on one lane, from the claim to the end."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any

from common import bus, process
from common.bus import Claim
from common.errors import LinkError, WireError
from common.keys import CallKeys, Lane
from common.link import Link
from common.writer import Writer
from workers.agent import Agent
from workers.call_runner import CallRunner
from workers.capacity import Capacity
from workers.committer import Committer
from workers.intake import Intake
from workers.owned_call import OwnedCall
from workers.reader import EventReader
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
        self._links = [Link(settings.redis_url, timeout_s=timeout_s, lane=lane) for _ in range(3)]
        read_link, write_link, take_link = self._links
        self._agent = agent
        self._executor = executor
        self._capacity = capacity
        self._calls: dict[OwnedCall, asyncio.Task[None]] = {}
        self._writer = Writer(write_link, tick_s=0.0)
        self._committer = Committer(self._writer, on_lost=self._lost)
        self._reader = EventReader(
            read_link, tick_s=settings.tick_ms / 1000, on_unreadable=self._lost
        )
        self._intake = Intake(lane, worker_id, take_link, self._writer, capacity, self._own)

    @property
    def is_answering(self) -> bool:
        return self._writer.is_answering

    async def run(self) -> None:
        """Returns after the capacity was closed and the last call has ended. Cancelled, it leaves
        its calls behind."""
        try:
            async with process.background(self._writer.run(), self._reader.run()):
                await self._intake.run()
                await self._capacity.is_empty()
                await self._writer.flushed()
                with suppress(LinkError):
                    await self._intake.leave()
        finally:
            for task in self._calls.values():
                task.cancel()
            await asyncio.gather(*self._calls.values(), return_exceptions=True)
            for link in self._links:
                await link.close()

    def _own(self, keys: CallKeys, token: str, claim: Claim) -> None:
        try:
            runner = CallRunner(
                keys.call_id,
                claim,
                self._agent,
                executor=self._executor,
                on_progress=lambda: self._committer.progressed(call),
            )
        except WireError as error:
            _log.error("cannot run call: %s", error, extra={"call": keys.call_id})
            self._capacity.give_back()
            self._finish(keys, token)
            return
        call = OwnedCall(keys, token, runner)
        self._calls[call] = asyncio.create_task(self._run(call), name=f"call {keys.call_id}")
        self._reader.follow(call, after=claim.cursor)
        _log.info("call taken", extra={"call": keys.call_id})

    async def _run(self, call: OwnedCall) -> None:
        try:
            await call.runner.run()
            _log.info("call finished", extra={"call": call.keys.call_id})
            self._finish(call.keys, call.token)
        finally:
            self._reader.forget(call)
            self._committer.forget(call)
            del self._calls[call]
            self._capacity.give_back()

    def _lost(self, call: OwnedCall) -> None:
        task = self._calls.get(call)
        if task is not None:
            task.cancel()
            # Where it is still ours, because Redis refused a commit, nobody else will end it.
            self._finish(call.keys, call.token)

    def _finish(self, keys: CallKeys, token: str) -> None:
        self._writer.submit(bus.finish(keys, token), partial(_finished, keys.call_id))


def _finished(call_id: str, reply: Any) -> None:
    if reply not in (b"FINISHED", b"GONE", b"FENCED"):
        _log.warning("the end of a call was refused: %s", reply, extra={"call": call_id})
