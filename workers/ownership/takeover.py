"""Take over the calls of workers that died.

A live call goes before the limit on calls: whoever is full takes it all the same, and no new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from common.errors import ReplyError
from workers import metrics
from workers.ownership.capacity import Capacity
from workers.ownership.dispatch import Dispatch

__all__ = ["Takeover"]

_log = logging.getLogger(__name__)

#: Calls per round, so that survivors share.
_AT_A_TIME = 4
#: How long the fullest worker lets the others go first.
_MAX_PAUSE_S = 0.02


class Takeover:
    def __init__(self, dispatch: Dispatch, capacity: Capacity) -> None:
        self._dispatch = dispatch
        self._capacity = capacity

    async def of(self, dead_workers: Iterable[str], *, until: float) -> None:
        """Ends about `until` (loop time): who has left more stays among the dead, to be named
        again. Raises LinkError."""
        await self._dispatch.look_back()
        for dead in dead_workers:
            await self._take_over(dead, until=until)

    async def _take_over(self, dead: str, *, until: float) -> None:
        loop = asyncio.get_running_loop()
        adopted = 0
        while count := await self._adopt(dead):
            adopted += count
            await asyncio.sleep(min(self._capacity.load, 1.0) * _MAX_PAUSE_S)
            if loop.time() >= until:
                break
        if adopted:
            metrics.TAKEOVERS.inc(adopted)
            _log.warning("took over calls", extra={"from": dead, "calls": adopted})

    async def _adopt(self, dead: str) -> int:
        try:
            return await self._dispatch.adopt(dead, at_most=_AT_A_TIME)
        except ReplyError as refusal:
            _log.error("cannot take over: %s", refusal, extra={"from": dead})
            return 0
