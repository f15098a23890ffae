"""The edge's side of every lane: two links to Redis, what is written and what is read."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from common import keys
from common.keys import CallKeys, Lane
from common.link import Link
from common.writer import Writer
from edge.downlink import Downlink
from edge.inventory import Inventory
from edge.lease import Lease
from edge.roll import Roll
from edge.settings import EdgeSettings
from edge.uplink import CallEvents, Fates, Terms

__all__ = ["EdgeLane", "EdgeLanes"]

#: How many calls a whole edge announces again in a second.
_CALLS_PER_S = 200


class EdgeLane:
    def __init__(self, lane: Lane, edge_id: str, settings: EdgeSettings) -> None:
        timeout_s = settings.redis_timeout_ms / 1000
        tick_s = settings.tick_ms / 1000
        self.lane = lane
        self._links = [Link(settings.redis_url, timeout_s=timeout_s, lane=lane) for _ in range(2)]
        self._terms = Terms(
            edge_id,
            ring_s=settings.outage_timeout_s,
            take_s=settings.take_timeout_s,
            owner_s=2 * settings.lease_ms / 1000,
        )
        self._roll = Roll(calls_per_s=_CALLS_PER_S / settings.lanes)
        self.writer = Writer(self._links[0], tick_s=tick_s, on_server_changed=self._resync)
        self.downlink = Downlink(self._links[1], tick_s=tick_s)
        self._inventory = Inventory(self.writer, self._roll)
        self._lease = Lease(self.writer, lane, edge_id, lease_ms=settings.edge_lease_ms)

    def open_call(
        self, keys: CallKeys, *, on_lost: Callable[[], None], on_not_taken: Callable[[], None]
    ) -> CallEvents:
        """See `edge.uplink.Fates`."""
        fates = Fates(
            on_lost,
            on_not_taken,
            vanished=lambda: self._roll.announce_soon(call),
            done=lambda: self._roll.discard(call),
        )
        call = CallEvents(self.writer, keys, self._terms, fates)
        self._roll.add(call)
        return call

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.writer.run(), name=f"writer {self.lane.number}")
                tasks.create_task(self.downlink.run(), name=f"downlink {self.lane.number}")
                tasks.create_task(self._lease.run(), name=f"lease {self.lane.number}")
                tasks.create_task(self._inventory.run(), name=f"inventory {self.lane.number}")
        finally:
            for link in self._links:
                await link.close()

    async def flushed(self) -> None:
        """Returns once Redis has the end of every call, and everything else."""
        await self._roll.is_empty()
        await self.writer.flushed()

    async def leave(self) -> None:
        """Nobody is to look after calls of this edge: there are none."""
        await self.flushed()
        self._lease.end()
        await self.writer.flushed()

    def _resync(self) -> None:
        """Redis is another server than before. What was read is told to it: so nothing must be
        read from any other meanwhile."""
        _, reading = self._links
        reading.doubt()
        self._lease.renew()
        self._roll.announce_again()


class EdgeLanes:
    def __init__(self, settings: EdgeSettings) -> None:
        self.edge_id = uuid.uuid4().hex
        self._lanes = keys.lanes(settings.namespace, settings.lanes)
        self._edge_lanes = [EdgeLane(lane, self.edge_id, settings) for lane in self._lanes]

    def place(self, call_id: str) -> tuple[EdgeLane, CallKeys]:
        lane = keys.lane_of(call_id, self._lanes)
        return self._edge_lanes[lane.number], lane.keys(call_id)

    def are_answering(self) -> bool:
        return all(lane.writer.is_answering for lane in self._edge_lanes)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for lane in self._edge_lanes:
                tasks.create_task(lane.run())

    async def flushed(self) -> None:
        for lane in self._edge_lanes:
            await lane.flushed()

    async def leave(self) -> None:
        """Returns once Redis has the end of every call, and has forgotten this edge."""
        async with asyncio.TaskGroup() as tasks:
            for lane in self._edge_lanes:
                tasks.create_task(lane.leave())
