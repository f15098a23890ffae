"""Take calls from one lane's dispatch stream, one at a time and only while there is room.

Redis serves blocked readers in turn, so calls spread over the workers that have room.

Rule 1: a call is taken when its claim is answered, not when its entry is read.
Rule 2: a read is never cancelled: its reply may carry a call. After a fault, what was handed to us
        without our hearing of it is asked for again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from common import bus, membership
from common.bus import Claim, ClaimRefusal, Taken
from common.errors import LinkError, ReplyError
from common.keys import CallKeys, Lane
from common.link import Link
from common.metrics import REDIS_FAULTS
from common.writer import Writer
from workers import metrics
from workers.capacity import Capacity

__all__ = ["Intake"]

_log = logging.getLogger(__name__)

_BLOCK_MS = 250
_RETRY_S = 0.1

OnClaimed = Callable[[CallKeys, str, Claim], None]


class Intake:
    """`on_claimed` gets every call that is now ours, with its token; it must release the capacity
    that was taken for it."""

    def __init__(
        self,
        lane: Lane,
        worker_id: str,
        link: Link,
        writer: Writer,
        capacity: Capacity,
        on_claimed: OnClaimed,
    ) -> None:
        self._lane = lane
        self._worker_id = worker_id
        self._link = link
        self._writer = writer
        self._capacity = capacity
        self._on_claimed = on_claimed
        self._claims = 0
        self._must_look_back = True
        self._claimed: set[bytes] = set()

    async def run(self) -> None:
        """Returns after the capacity was closed."""
        while await self._capacity.reserve():
            try:
                await self._take()
            except LinkError:
                # The lane's writer says so in the log.
                REDIS_FAULTS.labels("take").inc()
                self._must_look_back = True
                await asyncio.sleep(_RETRY_S)
            finally:
                self._capacity.release()

    async def _take(self) -> None:
        if self._must_look_back:
            self._claim_all(await self._read(bus.taken_before(self._lane, self._worker_id)))
            self._must_look_back = False
        request = bus.take(self._lane, self._worker_id, block_ms=_BLOCK_MS)
        self._claim_all(await self._read(request, block_s=_BLOCK_MS / 1000))

    async def leave(self) -> None:
        """Say goodbye to the others, who see to what is left behind."""
        await self._link.execute([membership.leave(self._lane, self._worker_id)])

    async def _read(self, request: bus.Request, *, block_s: float = 0.0) -> list[Taken]:
        (reply,) = await self._link.execute([request], block_s=block_s)
        if bus.is_group_missing(reply):
            await self._link.execute([bus.create_group(self._lane)])
            return []
        if isinstance(reply, ReplyError):
            _log.error("cannot take calls: %s", reply)
            raise LinkError(str(reply))
        return bus.read_taken(reply)

    def _claim_all(self, taken: list[Taken]) -> None:
        for call in taken:
            if call.entry_id in self._claimed:
                continue
            self._claimed.add(call.entry_id)
            self._capacity.take()
            self._claims += 1
            token = f"{self._worker_id}:{self._claims}"
            keys = self._lane.keys(call.call_id)
            self._writer.submit(
                bus.claim(keys, token), partial(self._claim_answered, call, keys, token)
            )

    def _claim_answered(self, call: Taken, keys: CallKeys, token: str, reply: Any) -> None:
        self._claimed.discard(call.entry_id)
        try:
            claim = bus.read_claim(reply)
        except ReplyError as error:
            _log.error("cannot claim: %s", error, extra={"call": call.call_id})
            claim = ClaimRefusal.GONE
        if isinstance(claim, Claim):
            metrics.CALLS_TAKEN.inc()
            self._on_claimed(keys, token, claim)
            return
        self._capacity.give_back()
        if claim is ClaimRefusal.GONE:
            for request in bus.discard(self._lane, call.entry_id):
                self._writer.submit(request, lambda reply: None)
