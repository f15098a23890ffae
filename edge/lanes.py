"""The edge's side of every lane: two links to Redis, what is written and what is read."""

from __future__ import annotations

import asyncio
import uuid

from common import keys
from common.keys import CallKeys, Lane
from common.link import Link
from common.writer import Writer
from edge.downlink import Downlink
from edge.settings import EdgeSettings

__all__ = ["EdgeLane", "EdgeLanes"]


class EdgeLane:
    def __init__(self, lane: Lane, settings: EdgeSettings) -> None:
        timeout_s = settings.redis_timeout_ms / 1000
        tick_s = settings.tick_ms / 1000
        self.lane = lane
        self._links = [Link(settings.redis_url, timeout_s=timeout_s, lane=lane) for _ in range(2)]
        self.writer = Writer(self._links[0], tick_s=tick_s)
        self.downlink = Downlink(self._links[1], tick_s=tick_s)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.writer.run(), name=f"writer {self.lane.number}")
                tasks.create_task(self.downlink.run(), name=f"downlink {self.lane.number}")
        finally:
            for link in self._links:
                await link.close()


class EdgeLanes:
    def __init__(self, settings: EdgeSettings) -> None:
        self.edge_id = uuid.uuid4().hex
        self._lanes = keys.lanes(settings.namespace, settings.lanes)
        self._edge_lanes = [EdgeLane(lane, settings) for lane in self._lanes]

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
            await lane.writer.flushed()
