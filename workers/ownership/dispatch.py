"""Redis -> claims: the dispatch entries that a lane hands to this worker.

What was handed to us is ours, whether or not we have heard of it, and nobody else will look for
it. So after a fault it is asked for again.
"""

from __future__ import annotations

from common import bus, membership
from common.bus import Request, Taken
from common.errors import ReplyError
from common.keys import Lane
from common.link import Link, Reply
from workers.ownership.claims import Claims

__all__ = ["Dispatch"]


class Dispatch:
    """Every method may raise LinkError, and ReplyError where Redis refuses. One task at a time, as
    for its link."""

    def __init__(self, lane: Lane, worker_id: str, link: Link, claims: Claims) -> None:
        self._lane = lane
        self._worker_id = worker_id
        self._link = link
        self._claims = claims
        self._must_look_back = False

    async def take(self, *, block_ms: int) -> None:
        """A new call, if one comes in time."""
        request = bus.take(self._lane, self._worker_id, block_ms=block_ms)
        self._claims.claim_all(bus.read_taken(await self._ask(request, block_s=block_ms / 1000)))

    async def adopt(self, dead_worker: str, *, at_most: int) -> int:
        """How many calls of another came; 0 when it has none any more, or lives after all."""
        request = membership.adopt(self._lane, dead_worker, self._worker_id, at_most=at_most)
        adopted: list[Taken] = membership.read_adopted(await self._ask(request))
        self._claims.claim_all(adopted)
        return len(adopted)

    async def look_back(self) -> None:
        """For what may have been handed to us without our hearing of it."""
        if self._must_look_back:
            request = bus.taken_before(self._lane, self._worker_id)
            (reply,) = await self._link.execute([request])
            self._must_look_back = False
            # Refused where there is no group any more, and nothing that was handed to anybody.
            if not isinstance(reply, ReplyError):
                self._claims.claim_all(bus.read_taken(reply))

    async def create_group(self) -> None:
        await self._link.execute([bus.create_group(self._lane)])

    async def _ask(self, request: Request, *, block_s: float = 0.0) -> Reply:
        await self.look_back()
        self._must_look_back = True
        (reply,) = await self._link.execute([request], block_s=block_s)
        self._must_look_back = False
        if isinstance(reply, ReplyError):
            raise reply
        return reply
