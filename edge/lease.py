"""The edge's sign of life on a lane: while it is renewed, workers keep the calls of this edge."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from common import membership
from common.errors import ReplyError
from common.keys import Lane
from common.metrics import REDIS_FAULTS
from common.writer import Writer

__all__ = ["Lease"]

_log = logging.getLogger(__name__)

#: It is also how a process without calls finds out that Redis takes no writes.
_RENEW_AT_LEAST_EVERY_S = 0.4


class Lease:
    """`lease_ms` is how long it holds once it is not renewed any more."""

    def __init__(self, writer: Writer, lane: Lane, edge_id: str, *, lease_ms: int) -> None:
        self._writer = writer
        self._renewal = membership.renew_edge(lane, edge_id, lease_ms=lease_ms)
        self._goodbye = membership.leave_edge(lane, edge_id)
        self._renew_every_s = min(lease_ms / 4000, _RENEW_AT_LEAST_EVERY_S)
        self._is_unanswered = False
        self._has_ended = False

    async def run(self) -> None:
        while True:
            self.renew()
            await asyncio.sleep(self._renew_every_s)

    def renew(self) -> None:
        """Never more than one is under way, or they would pile up while Redis is away."""
        if not self._is_unanswered and not self._has_ended:
            self._is_unanswered = True
            self._writer.submit(self._renewal, self._answered)

    def end(self) -> None:
        """The last call's end is stored: nobody is to look after this edge."""
        self._has_ended = True
        self._writer.submit(self._goodbye, self._answered)

    def _answered(self, reply: Any) -> None:
        self._is_unanswered = False
        if isinstance(reply, ReplyError):
            REDIS_FAULTS.labels("write").inc()
            _log.error("Redis refused the edge's lease: %s", reply)
