"""Take calls from one lane's dispatch stream, one at a time and only while there is room.

Redis serves blocked readers in turn, and a worker lines up again the later the fuller it is, so
calls spread over the workers that have room.

After a fault, what was handed to us without our hearing of it is asked for again.
"""

from __future__ import annotations

import asyncio
import logging

from common import bus
from common.bus import Taken
from common.errors import LinkError, ReplyError
from common.keys import Lane
from common.link import Link
from common.metrics import REDIS_FAULTS
from workers.capacity import Capacity
from workers.claims import Claims

__all__ = ["Intake"]

_log = logging.getLogger(__name__)

_BLOCK_MS = 250
_RETRY_S = 0.1
#: How long the fullest worker lets the others go first. Callers wait for it: the last of a hundred
#: that come at once 0.1 s.
_MAX_PAUSE_S = 0.002


class Intake:
    def __init__(
        self, lane: Lane, worker_id: str, link: Link, capacity: Capacity, claims: Claims
    ) -> None:
        self._lane = lane
        self._worker_id = worker_id
        self._link = link
        self._capacity = capacity
        self._claims = claims
        self._must_look_back = True

    async def run(self) -> None:
        """Returns after the capacity was closed. Cancelled, it may have been handed a call of
        which it does not know: saying goodbye (`common/membership.py`) sees to that."""
        while await self._capacity.reserve():
            pause_s = 0.0
            try:
                await self._take()
            except LinkError:
                # The lane's writer says so in the log.
                REDIS_FAULTS.labels("take").inc()
                self._must_look_back = True
                pause_s = _RETRY_S
            finally:
                # Before the pause: where another lane is well, the room is for its calls.
                self._capacity.release()
            await asyncio.sleep(max(pause_s, self._capacity.load * _MAX_PAUSE_S))

    async def _take(self) -> None:
        if self._must_look_back:
            self._claims.claim_all(await self._read(bus.taken_before(self._lane, self._worker_id)))
            self._must_look_back = False
        request = bus.take(self._lane, self._worker_id, block_ms=_BLOCK_MS)
        self._claims.claim_all(await self._read(request, block_s=_BLOCK_MS / 1000))

    async def _read(self, request: bus.Request, *, block_s: float = 0.0) -> list[Taken]:
        (reply,) = await self._link.execute([request], block_s=block_s)
        if bus.is_group_missing(reply):
            await self._link.execute([bus.create_group(self._lane)])
            return []
        if isinstance(reply, ReplyError):
            _log.error("cannot take calls: %s", reply)
            raise LinkError(str(reply))
        return bus.read_taken(reply)
