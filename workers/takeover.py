"""Take over the calls of workers that died.

A live call goes before the limit on calls: whoever is full takes it all the same, and no new one.
"""

from __future__ import annotations

import asyncio
import logging

from common import membership
from common.bus import Taken
from common.errors import ReplyError
from common.keys import Lane
from common.link import Link
from workers import metrics
from workers.capacity import Capacity
from workers.claims import Claims

__all__ = ["Takeover"]

_log = logging.getLogger(__name__)

#: Calls per round, so that survivors share.
_AT_A_TIME = 4
#: How long the fullest worker lets the others go first.
_MAX_PAUSE_S = 0.02


class Takeover:
    def __init__(
        self, lane: Lane, worker_id: str, link: Link, capacity: Capacity, claims: Claims
    ) -> None:
        self._lane = lane
        self._worker_id = worker_id
        self._link = link
        self._capacity = capacity
        self._claims = claims

    async def of(self, dead: str) -> None:
        """Raises LinkError."""
        adopted = 0
        while taken := await self._adopt(dead):
            adopted += len(taken)
            self._claims.claim_all(taken)
            await asyncio.sleep(min(self._capacity.load, 1.0) * _MAX_PAUSE_S)
        if adopted:
            metrics.TAKEOVERS.inc(adopted)
            _log.warning("took over calls", extra={"from": dead, "calls": adopted})

    async def _adopt(self, dead: str) -> list[Taken]:
        request = membership.adopt(self._lane, dead, self._worker_id, at_most=_AT_A_TIME)
        (reply,) = await self._link.execute([request])
        try:
            return membership.read_adopted(reply)
        except ReplyError as error:
            _log.error("cannot take over: %s", error, extra={"from": dead})
            return []
