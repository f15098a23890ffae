"""Asks Redis now and then whether it still has every call of a lane.

A call whose events vanish hears of it at the next one (`edge/uplink.py`). One that is silent, or
whose hash alone has vanished, would not: its worker is refused every commit meanwhile, and waits
for the call to be announced again.

Keys that nobody touches any more vanish after `TTL_S`, lest a call be left for ever by an edge and
a worker that die together. Commits put that off; a handler that waits for longer commits nothing.
"""

from __future__ import annotations

import asyncio
from itertools import count

from common import presence
from common.writer import Writer, note_refusal
from edge.roll import Roll

__all__ = ["Inventory"]

#: Well within the time that a worker waits (`workers/ownership/restoration.py`).
_EVERY_S = 2.0
#: In looks; several times within `TTL_S`.
_KEEP_EVERY = 300


class Inventory:
    def __init__(self, writer: Writer, roll: Roll) -> None:
        self._writer = writer
        self._roll = roll

    async def run(self) -> None:
        for number in count(1):
            await asyncio.sleep(_EVERY_S)
            await self.take()
            if number % _KEEP_EVERY == 0:
                self.keep()

    async def take(self) -> None:
        """One question for all calls; each asks for itself only when that tells of a loss."""
        calls = self._roll.keys_of_all()
        if calls:
            found = await self._writer.ask(presence.how_many_exist(calls))
            if presence.is_any_lost(found, calls):
                self._roll.verify()

    def keep(self) -> None:
        """As long as they are on, calls do not expire."""
        for keys in self._roll.keys_of_all():
            for request in presence.keep(keys):
                self._writer.submit(request, note_refusal)
