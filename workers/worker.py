"""One worker: all its lanes, one capacity, one agent; and how it stops."""

from __future__ import annotations

import asyncio
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor

from common import keys
from workers.agent import Agent
from workers.ownership.capacity import Capacity
from workers.ownership.lane import WorkerLane
from workers.settings import WorkerSettings

__all__ = ["Worker"]

_log = logging.getLogger(__name__)

#: What a worker gets beyond the drain timeout, to end what it waits for and to say goodbye.
_LEAVE_S = 1.0
#: How long a worker that runs no call tries to say goodbye to a Redis that does not answer.
_WITHOUT_CALLS_S = 4.0


class Worker:
    def __init__(self, settings: WorkerSettings, agent: type[Agent]) -> None:
        self._settings = settings
        self._capacity = Capacity(settings.worker_calls)
        self._executor = ThreadPoolExecutor(settings.offload_threads, "offload")
        self.id = uuid.uuid4().hex
        self._lanes = [
            WorkerLane(lane, self.id, settings, agent, self._executor, self._capacity)
            for lane in keys.lanes(settings.namespace, settings.lanes)
        ]

    async def run(self, stopping: asyncio.Event) -> None:
        """Takes calls until `stopping`, then hands the live ones over to other workers."""
        serving = asyncio.create_task(self._serve(stopping))
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((serving, stop), return_when=asyncio.FIRST_COMPLETED)
            self._capacity.close()
            drain_s = self._settings.drain_timeout_s
            if self._capacity.running:
                _log.info("handing over", extra={"calls": self._capacity.running})
            else:
                drain_s = min(drain_s, _WITHOUT_CALLS_S)
            async with asyncio.timeout(drain_s + _LEAVE_S):
                await serving
        except TimeoutError:
            if self._capacity.running:
                _log.warning("calls are left behind", extra={"calls": self._capacity.running})
        finally:
            stop.cancel()
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, stopping: asyncio.Event) -> None:
        await asyncio.gather(*(lane.run(stopping) for lane in self._lanes))
