"""Take calls from one lane's dispatch stream, one at a time and only while there is room.

Redis serves blocked readers in turn, and a worker lines up again the later the fuller it is, so
calls spread over the workers that have room.
"""

from __future__ import annotations

import asyncio
import logging

from common import bus
from common.errors import LinkError, ReplyError
from common.metrics import REDIS_FAULTS
from workers.ownership.capacity import Capacity
from workers.ownership.dispatch import Dispatch

__all__ = ["Intake"]

_log = logging.getLogger(__name__)

_BLOCK_MS = 250
_RETRY_S = 0.1
#: How long the fullest worker lets the others go first. Callers wait for it: the last of a hundred
#: that come at once 0.1 s.
_MAX_PAUSE_S = 0.002


class Intake:
    def __init__(self, dispatch: Dispatch, capacity: Capacity) -> None:
        self._dispatch = dispatch
        self._capacity = capacity

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
                pause_s = _RETRY_S
            finally:
                # Before the pause: where another lane is well, the room is for its calls.
                self._capacity.release()
            await asyncio.sleep(max(pause_s, self._capacity.load * _MAX_PAUSE_S))

    async def _take(self) -> None:
        try:
            await self._dispatch.take(block_ms=_BLOCK_MS)
        except ReplyError as refusal:
            if not bus.is_group_missing(refusal):
                _log.error("cannot take calls: %s", refusal)
                raise LinkError(str(refusal)) from None
            await self._dispatch.create_group()
