"""A queue of requests to Redis, written in batches and repeated until Redis has answered.

Rule 1: nobody but `run` waits for Redis; the others submit and are told the reply.
Rule 2: only requests that can be repeated may be submitted (`common/bus.py` has no others).
Rule 3: order is kept, so a request may rely on those before it.
Rule 4: to another server than before, nothing is given that was meant for the old one, where
        somebody is there who knows what the new one may lack.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from common import metrics
from common.errors import LinkError, ReplyError, ServerChangedError
from common.link import Link, Request
from common.ticker import Ticker, Wakeup

__all__ = ["Writer", "note_refusal"]

_log = logging.getLogger(__name__)

_MAX_BATCH = 500
_FIRST_RETRY_S = 0.02
_LAST_RETRY_S = 0.15  # how long calls may go on waiting for a Redis that is back
_PING_EVERY_S = 0.5

OnReply = Callable[[Any], object]


class Writer:
    """`tick_s` is the shortest time between two writes: what comes within it shares one.

    `on_server_changed` is called when Redis is another server than before, after everything that
    was not answered has been answered with that ServerChangedError instead; it submits what the
    new server is to be given first. Without it, requests are repeated to the new server.
    """

    def __init__(
        self,
        link: Link,
        *,
        tick_s: float,
        on_server_changed: Callable[[], None] | None = None,
    ) -> None:
        self._link = link
        self._on_server_changed = on_server_changed
        self._ticker = Ticker(tick_s)
        self._wakeup = Wakeup()
        self._queue: deque[tuple[Request, OnReply]] = deque()
        self._is_flushed = asyncio.Event()
        self._failing_since: float | None = None
        self._has_answered = False

    @property
    def is_answering(self) -> bool:
        """Whether Redis answered the last time it was asked."""
        return self._has_answered and self._failing_since is None

    def is_cut_off(self, for_s: float) -> bool:
        """Whether Redis has not answered for so long."""
        since = self._failing_since
        return since is not None and asyncio.get_running_loop().time() - since > for_s

    def submit(self, request: Request, on_reply: OnReply) -> None:
        """`on_reply` gets the reply, a ReplyError included, or the ServerChangedError that came
        in its place; it must not raise."""
        self._queue.append((request, on_reply))
        self._is_flushed.clear()
        self._wakeup.set()

    async def ask(self, request: Request) -> Any:
        """Submit, and wait for the reply."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.submit(request, lambda answer: None if reply.done() else reply.set_result(answer))
        return await reply

    async def flushed(self) -> None:
        """Returns once everything submitted was answered."""
        await self._is_flushed.wait()

    async def run(self) -> None:
        self.submit(*_PING)
        while True:
            if not self._queue:
                self._is_flushed.set()
                await self._wait_for_requests()
            await self._ticker.tick()
            await self._write()

    async def _wait_for_requests(self) -> None:
        """A process without calls must notice as well that Redis is gone, and say so: so after a
        while it asks."""
        loop = asyncio.get_running_loop()
        ping_at = loop.time() + _PING_EVERY_S
        while not self._queue:
            await self._wakeup.wait(ping_at)
            if not self._queue and loop.time() >= ping_at:
                self._queue.append(_PING)

    async def _write(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_BATCH))]
        metrics.BATCH_REQUESTS.observe(len(batch))
        try:
            replies = await self._execute([request for request, _ in batch])
        except ServerChangedError as error:
            self._drop(batch, error)
            return
        for (_, on_reply), reply in zip(batch, replies, strict=True):
            on_reply(reply)

    async def _execute(self, requests: list[Request]) -> list[Any]:
        """Raises ServerChangedError when there is somebody to be told of it."""
        retry_s = 0.0
        told: set[str] = set()  # a reason that comes later may be the one that matters
        while True:
            try:
                replies = await self._link.execute(requests)
            except LinkError as error:
                if isinstance(error, ServerChangedError) and self._on_server_changed is not None:
                    _log.warning("%s", error)
                    raise
                if str(error) not in told:
                    told.add(str(error))
                    _log.warning("%s; what is to be written is kept", error)
                self._failed()
                retry_s = min(2 * retry_s or _FIRST_RETRY_S, _LAST_RETRY_S)
                await asyncio.sleep(random.uniform(retry_s / 2, retry_s))
                continue
            if retry_s:
                _log.info("Redis answers again")
            self._failing_since = None
            self._has_answered = True
            return replies

    def _drop(self, batch: list[tuple[Request, OnReply]], error: ServerChangedError) -> None:
        assert self._on_server_changed is not None
        dropped = [*batch, *self._queue]
        self._queue.clear()
        for _, on_reply in dropped:
            on_reply(error)
        self._on_server_changed()

    def _failed(self) -> None:
        metrics.REDIS_FAULTS.labels("write").inc()
        if self._failing_since is None:
            self._failing_since = asyncio.get_running_loop().time()


def note_refusal(reply: Any) -> None:
    """An `on_reply` for requests of which only a refusal is worth a word."""
    if isinstance(reply, ReplyError):
        metrics.REDIS_FAULTS.labels("write").inc()
        _log.error("Redis refused a request: %s", reply)


_PING: tuple[Request, OnReply] = ((b"PING",), note_refusal)
