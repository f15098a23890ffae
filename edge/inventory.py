"""Asks Redis now and then whether it still has every call of a lane.

A call whose events vanish hears of it at the next one (`edge/uplink.py`). One that is silent, or
whose hash alone has vanished, would not: its worker is refused every commit meanwhile, and waits
for the call to be announced again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from common import bus
from common.writer import Writer
from edge.roll import Roll

__all__ = ["Inventory"]

#: Well within the time that a worker waits (`workers/ownership/restoration.py`).
_EVERY_S = 2.0


class Inventory:
    def __init__(self, writer: Writer, roll: Roll) -> None:
        self._writer = writer
        self._roll = roll

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.take()

    async def take(self) -> None:
        """One question for all calls; each asks for itself only when that tells of a loss."""
        keys = self._roll.keys()
        if keys:
            found: Any = await self._writer.ask(bus.how_many_exist(keys))
            if isinstance(found, int) and found < 2 * len(keys):
                self._roll.verify()
