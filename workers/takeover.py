"""Take over the calls of workers that died.

A live call goes before the limit on calls: whoever is full takes it all the same, and no new one.

What was adopted is ours, whether or not we have heard of it, and nobody else will look for it. So
after a fault it is asked for again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from common import bus, membership
from common.bus import Request, Taken
from common.errors import ReplyError
from common.keys import Lane
from common.link import Link, Reply
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
        self._must_look_back = False

    async def of(self, dead_workers: Iterable[str], *, until: float) -> None:
        """Ends about `until` (loop time): who has left more stays among the dead, to be named
        again. Raises LinkError."""
        if self._must_look_back:
            self._claims.claim_all(await self._look_back())
        for dead in dead_workers:
            await self._take_over(dead, until=until)

    async def _take_over(self, dead: str, *, until: float) -> None:
        loop = asyncio.get_running_loop()
        adopted = 0
        while taken := await self._adopt(dead):
            adopted += len(taken)
            self._claims.claim_all(taken)
            await asyncio.sleep(min(self._capacity.load, 1.0) * _MAX_PAUSE_S)
            if loop.time() >= until:
                break
        if adopted:
            metrics.TAKEOVERS.inc(adopted)
            _log.warning("took over calls", extra={"from": dead, "calls": adopted})

    async def _adopt(self, dead: str) -> list[Taken]:
        request = membership.adopt(self._lane, dead, self._worker_id, at_most=_AT_A_TIME)
        reply = await self._ask(request)
        try:
            return membership.read_adopted(reply)
        except ReplyError as error:
            _log.error("cannot take over: %s", error, extra={"from": dead})
            return []

    async def _look_back(self) -> list[Taken]:
        reply = await self._ask(bus.taken_before(self._lane, self._worker_id))
        # Refused where there is no group any more, and nothing that was adopted.
        return [] if isinstance(reply, ReplyError) else bus.read_taken(reply)

    async def _ask(self, request: Request) -> Reply:
        self._must_look_back = True
        (reply,) = await self._link.execute([request])
        self._must_look_back = False
        return reply
