"""A whole edge in this process, on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from common.process import background
from edge.app import Edge
from edge.entrances import Entrance
from edge.lanes import EdgeLanes
from edge.settings import EdgeSettings
from tests.waiting import until

__all__ = ["Served", "served"]


class Served(NamedTuple):
    edge: Edge
    lanes: EdgeLanes
    port: int


@asynccontextmanager
async def served(settings: EdgeSettings, entrances: dict[str, Entrance]) -> AsyncIterator[Served]:
    """Once it is ready."""
    lanes = EdgeLanes(settings)
    edge = Edge(settings, entrances, lanes)
    runner = edge.runner()
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with background(lanes.run(), edge.watch()):
            await until(lanes.are_answering)
            yield Served(edge, lanes, runner.addresses[0][1])
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)  # aiohttp closes its transports a step later
