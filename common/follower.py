"""Read many streams as they grow: one XREAD a tick for all, and none while nothing is followed.

Rule 1: it reads eagerly. Owners are called in passing and must neither wait nor raise.
Rule 2: polling again is the retry. A cursor moves only when its owner was given the entries, so
        nothing is given twice and nothing left out, whatever server answers next.
Rule 3: a stream that Redis refuses to read is its owner's misfortune and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from common.errors import LinkError, ReplyError
from common.link import Link
from common.metrics import REDIS_FAULTS
from common.tail import Entry, Tail
from common.ticker import Ticker, Wakeup

__all__ = ["Follower"]

_log = logging.getLogger(__name__)

_RETRY_S = 0.05

OwnerT = TypeVar("OwnerT")


class Follower(Generic[OwnerT]):
    """`count`: entries of a stream in one poll. `on_entries` gets what is new of one stream, in
    order; `on_unreadable` who owns a stream that is not followed any more, as it is none."""

    def __init__(
        self,
        link: Link,
        *,
        tick_s: float,
        count: int,
        on_entries: Callable[[OwnerT, list[Entry]], None],
        on_unreadable: Callable[[OwnerT], None],
    ) -> None:
        self._link = link
        self._ticker = Ticker(tick_s)
        self._wakeup = Wakeup()
        self._tail: Tail[OwnerT] = Tail(count=count)
        self._on_entries = on_entries
        self._on_unreadable = on_unreadable

    def follow(self, key: bytes, owner: OwnerT, *, after: int = 0) -> None:
        self._tail.follow(key, owner, after=after)
        self._wakeup.set()

    def forget(self, key: bytes, owner: OwnerT | None = None) -> OwnerT | None:
        """Who was told of it. With `owner`, it stays where another is told by now."""
        return self._tail.forget(key, owner)

    async def run(self) -> None:
        while True:
            if not self._tail:
                await self._wakeup.wait()
                continue
            try:
                await self._poll()
            except LinkError:
                # The lane's writer says so in the log.
                REDIS_FAULTS.labels("read").inc()
                await asyncio.sleep(_RETRY_S)
            await self._ticker.tick()

    async def _poll(self) -> None:
        (reply,) = await self._link.execute([self._tail.request()])
        if isinstance(reply, ReplyError):
            await self._poll_singly(reply)
        else:
            self._hand_over(reply)

    async def _poll_singly(self, refusal: ReplyError) -> None:
        """One stream that is none fails the request for all: find out which."""
        REDIS_FAULTS.labels("read").inc()
        _log.error("Redis refused a read: %s", refusal)
        requests = self._tail.single_requests()
        replies = await self._link.execute(list(requests.values()))
        for key, reply in zip(requests, replies, strict=True):
            if not isinstance(reply, ReplyError):
                self._hand_over(reply)
            elif (owner := self._tail.forget(key)) is not None:
                self._on_unreadable(owner)

    def _hand_over(self, reply: Any) -> None:
        for owner, entries in self._tail.read(reply):
            self._on_entries(owner, entries)
