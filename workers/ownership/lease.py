"""A worker's lease on one lane: renew it, mind when it is in doubt, see who let theirs run out.

Rule 1: while the lease may have run out, or Redis is another server than before, the gate is
        closed: no handler begins until Redis has renewed it and said which calls are still ours.
Rule 2: who has let a lease run out is judged only while Redis can be trusted to know
        (`workers/ownership/vigilance.py`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from common import membership
from common.errors import LinkError, ReplyError, ServerChangedError
from common.keys import Lane
from common.link import Link
from common.membership import Look
from common.metrics import REDIS_FAULTS
from workers.ownership.vigilance import Vigilance
from workers.running.gate import Gate
from workers.settings import WorkerSettings

__all__ = ["Lease", "Ward"]

_log = logging.getLogger(__name__)

#: Renewals per lease; it takes all but one of them to fail before others step in.
_BEATS = 5
_RETRY_S = 0.05
#: A call that is silent and whose keys have vanished tells nobody so: now and then Redis is asked.
_VERIFY_EVERY_S = 5.0


class Ward(Protocol):
    """Who acts on what the lease learns."""

    async def verify(self, *, may_restore: bool) -> None:
        """Ask Redis which calls are still ours, and drop the others. Without `may_restore`, also
        those of which it has no memory: somebody else's may be better than ours."""

    async def take_over(self, dead_workers: list[str], *, until: float) -> None:
        """Told at every renewal, whether or not somebody is dead; to end about `until` (loop
        time), when the next one is due. Raises LinkError."""

    def end_calls_of(self, dead_edges: list[str]) -> None: ...


class Lease:
    def __init__(
        self, lane: Lane, worker_id: str, link: Link, gate: Gate, settings: WorkerSettings
    ) -> None:
        self._link = link
        self._gate = gate
        self._length_s = settings.lease_ms / 1000
        self._edge_length_s = settings.edge_lease_ms / 1000
        self._request = membership.renew_worker(lane, worker_id, lease_ms=settings.lease_ms)
        self._worker_id = worker_id
        self._stood_still = False
        self._verify_at = 0.0
        self._doubt: asyncio.TimerHandle | None = None

    async def run(self, ward: Ward) -> None:
        loop = asyncio.get_running_loop()
        vigilance = Vigilance(
            lease_s=self._length_s, edge_lease_s=self._edge_length_s, now=loop.time()
        )
        due = loop.time()
        self._verify_at = due + _VERIFY_EVERY_S
        try:
            while True:
                await asyncio.sleep(due - loop.time())
                self._mind_the_delay(loop.time() - due)
                try:
                    due = await self._beat(vigilance, ward)
                except LinkError as error:
                    if isinstance(error, ServerChangedError):
                        self._gate.close()  # who knows whether that one knows our calls
                    REDIS_FAULTS.labels("lease").inc()
                    vigilance.failed(now=loop.time())
                    due = loop.time() + _RETRY_S
        finally:
            if self._doubt is not None:
                self._doubt.cancel()

    async def _beat(self, vigilance: Vigilance, ward: Ward) -> float:
        """Renew, and act on what that tells; when to do so again."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._length_s / _BEATS
        look = await self._renew(vigilance)
        if look.next_end_ms >= 0:  # somebody has missed a renewal, if it is that soon
            due = min(due, loop.time() + (look.next_end_ms + 1) / 1000)
        if not self._gate.is_open or loop.time() >= self._verify_at:
            await self._verify(ward)
            due = max(due, loop.time())  # it was Redis that took its time
        if self._gate.is_open:
            await self._judge(look, vigilance, ward, until=due)
        return due

    def _mind_the_delay(self, delay_s: float) -> None:
        """Was it this process that stood still? Then others may own its calls by now."""
        if delay_s > self._length_s / 2:
            _log.warning("this process stood still", extra={"seconds": round(delay_s, 1)})
            self._stood_still = True
            self._gate.close()

    async def _renew(self, vigilance: Vigilance) -> Look:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        (reply,) = await self._link.execute([self._request])
        try:
            look = membership.read_look(reply)
        except ReplyError as error:
            _log.error("cannot renew the lease: %s", error)
            raise LinkError(str(error)) from None
        vigilance.renewed(sent_at=sent_at, answered_at=loop.time(), now_ms=look.now_ms)
        if self._doubt is not None:
            self._doubt.cancel()
        self._doubt = loop.call_at(sent_at + self._length_s, self._gate.close)
        return look

    async def _verify(self, ward: Ward) -> None:
        loop = asyncio.get_running_loop()
        self._verify_at = loop.time() + _VERIFY_EVERY_S
        until = loop.time() + self._length_s / 2
        try:
            async with asyncio.timeout_at(until):
                await ward.verify(may_restore=not self._stood_still)
        except TimeoutError:
            self._mind_the_delay(loop.time() - until)
            return
        self._stood_still = False
        self._gate.open()

    async def _judge(self, look: Look, vigilance: Vigilance, ward: Ward, *, until: float) -> None:
        loop = asyncio.get_running_loop()
        may_judge = vigilance.may_judge_workers(now=loop.time())
        dead_workers = look.dead_workers if may_judge else []
        others = [name for name in dead_workers if name != self._worker_id]
        await ward.take_over(others, until=until)
        if vigilance.may_judge_edges(now=loop.time()):
            ward.end_calls_of(look.dead_edges)
