"""Socket -> Redis: all events of a tick leave in one write.

Rule 1: nothing here waits for Redis but `run`; sessions only append.
Rule 2: a batch is repeated until Redis has answered it. Every request can be repeated, because
        events carry explicit ids and the scripts recognise themselves.
Rule 3: order is kept, per call and over all: an announcement precedes its call's events.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from common import bus
from common.errors import LinkError, ReplyError
from common.events import Event
from common.keys import CallKeys
from common.link import Link, Request
from common.ticker import Ticker, Wakeup
from common.wire import encode_event
from edge import metrics

__all__ = ["CallEvents", "Uplink"]

_log = logging.getLogger(__name__)

_MAX_BATCH = 500
_FIRST_RETRY_S = 0.02
_LAST_RETRY_S = 0.5
_PING_EVERY_S = 0.5

OnReply = Callable[[Any], object]


class Uplink:
    """One per lane: the queue of requests to Redis, and the task that writes them."""

    def __init__(self, link: Link, *, tick_s: float) -> None:
        self._link = link
        self._ticker = Ticker(tick_s)
        self._wakeup = Wakeup()
        self._queue: deque[tuple[Request, OnReply]] = deque()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        #: Loop time since when Redis has not answered; None while it does.
        self.failing_since: float | None = 0.0

    def submit(self, request: Request, on_reply: OnReply) -> None:
        self._queue.append((request, on_reply))
        self._is_idle.clear()
        self._wakeup.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.failing_since = loop.time()
        self.submit((b"PING",), _ignore)
        while True:
            if not self._queue:
                self._is_idle.set()
                await self._wakeup.wait(loop.time() + _PING_EVERY_S)
            if not self._queue:
                # An edge without calls must notice as well that Redis is gone, and say so.
                self.submit((b"PING",), _ignore)
            await self._ticker.tick()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_BATCH))]
            if batch:
                await self._write(batch)

    async def flushed(self) -> None:
        """Returns once everything submitted was answered."""
        await self._is_idle.wait()

    async def _write(self, batch: list[tuple[Request, OnReply]]) -> None:
        metrics.UPLINK_BATCH.observe(len(batch))
        requests = [request for request, _ in batch]
        replies = await self._execute(requests)
        for (_, on_reply), reply in zip(batch, replies, strict=True):
            on_reply(reply)

    async def _execute(self, requests: list[Request]) -> list[Any]:
        retry_s = 0.0
        while True:
            try:
                replies = await self._link.execute(requests)
            except LinkError as error:
                if not retry_s:
                    _log.warning("%s; events are kept and sent again", error)
                self._failed()
                retry_s = min(2 * retry_s or _FIRST_RETRY_S, _LAST_RETRY_S)
                await asyncio.sleep(random.uniform(retry_s / 2, retry_s))
                continue
            if retry_s:
                _log.info("Redis answers again")
            self.failing_since = None
            return replies

    def _failed(self) -> None:
        metrics.REDIS_FAULTS.labels("uplink").inc()
        if self.failing_since is None:
            self.failing_since = asyncio.get_running_loop().time()


class CallEvents:
    """The event stream of one call, written through an uplink and numbered here."""

    def __init__(self, uplink: Uplink, keys: CallKeys, *, on_gone: Callable[[], None]) -> None:
        self._uplink = uplink
        self._keys = keys
        self._on_gone = on_gone
        self._sequence = 0

    def announce(self, edge_id: str, first: Event, *, at_ms: int) -> None:
        self._sequence = 1
        event = encode_event(first, at_ms=at_ms)
        self._uplink.submit(bus.announce(self._keys, edge_id, event), self._announced)

    def append(self, event: Event, *, at_ms: int) -> None:
        self._sequence += 1
        request = bus.append_event(self._keys, self._sequence, encode_event(event, at_ms=at_ms))
        self._uplink.submit(request, self._appended)

    def withdraw(self, on_answer: Callable[[bool], None]) -> None:
        """Take the call back if no worker has claimed it; says whether that was so."""

        def answered(reply: Any) -> None:
            self._check(reply)
            on_answer(reply == b"WITHDRAWN")

        self._uplink.submit(bus.withdraw(self._keys), answered)

    def trim_commands(self, read_up_to: int) -> None:
        self._uplink.submit(bus.trim_commands(self._keys, read_up_to), self._check)

    def _announced(self, reply: Any) -> None:
        if not self._check(reply):
            self._on_gone()

    def _appended(self, reply: Any) -> None:
        if bus.is_already_stored(reply):
            return
        if reply is None or not self._check(reply):
            self._on_gone()

    def _check(self, reply: Any) -> bool:
        if isinstance(reply, ReplyError):
            metrics.REDIS_FAULTS.labels("uplink").inc()
            _log.error("Redis refused a write: %s", reply, extra={"call": self._keys.call_id})
            return False
        return True


def _ignore(reply: Any) -> None:
    pass
