"""Redis -> call runners: one XREAD a tick fetches the events of all calls of a lane.

A call whose agent lags is not read further until it has caught up; its events wait in Redis.
"""

from __future__ import annotations

import asyncio
import logging

from common.errors import LinkError, ReplyError
from common.link import Link
from common.metrics import REDIS_FAULTS
from common.tail import Tail
from common.ticker import Ticker, Wakeup
from workers.owned_call import OwnedCall

__all__ = ["EventReader"]

_log = logging.getLogger(__name__)

_ENTRIES_PER_POLL = 64
_MAX_BACKLOG = 256
_RETRY_S = 0.05


class EventReader:
    def __init__(self, link: Link, *, tick_s: float) -> None:
        self._link = link
        self._ticker = Ticker(tick_s)
        self._wakeup = Wakeup()
        self._tail: Tail[OwnedCall] = Tail(count=_ENTRIES_PER_POLL)
        self._lagging: dict[OwnedCall, int] = {}

    def follow(self, call: OwnedCall, *, after: int) -> None:
        self._tail.follow(call.keys.events, call, after=after)
        self._wakeup.set()

    def forget(self, call: OwnedCall) -> None:
        self._tail.forget(call.keys.events)
        self._lagging.pop(call, None)

    async def run(self) -> None:
        while True:
            if not self._tail and not self._lagging:
                await self._wakeup.wait()
                continue
            self._resume_those_that_caught_up()
            if self._tail:
                await self._poll()
            await self._ticker.tick()

    async def _poll(self) -> None:
        try:
            (reply,) = await self._link.execute([self._tail.request()])
        except LinkError:
            # The lane's writer says so in the log.
            REDIS_FAULTS.labels("read").inc()
            await asyncio.sleep(_RETRY_S)
            return
        if isinstance(reply, ReplyError):
            REDIS_FAULTS.labels("read").inc()
            _log.error("Redis refused a read: %s", reply)
            return
        for call, entries in self._tail.read(reply):
            call.runner.feed(entries)
            if call.runner.backlog >= _MAX_BACKLOG:
                self._tail.forget(call.keys.events)
                self._lagging[call] = entries[-1].sequence

    def _resume_those_that_caught_up(self) -> None:
        for call, after in list(self._lagging.items()):
            if call.runner.backlog < _MAX_BACKLOG // 2:
                del self._lagging[call]
                self._tail.follow(call.keys.events, call, after=after)
