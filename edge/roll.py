"""The calls of a lane whose end Redis does not have yet, called over when Redis may have lost them.

Rule 1: nothing is announced by all at once: a Redis that has just come back has every edge's calls
        to hear of, and is still to serve those that live.
Rule 2: a call is called over by itself when Redis has lost it under our hands; the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import random

from common.keys import CallKeys
from edge.uplink import CallEvents

__all__ = ["Roll"]

_log = logging.getLogger(__name__)

#: However few the calls are, as edges do not know of each other; meanwhile they cannot be heard.
_SPREAD_S = 0.2


class Roll:
    """`calls_per_s`: how many are announced again in a second, at most."""

    def __init__(self, *, calls_per_s: float) -> None:
        self._calls_per_s = calls_per_s
        self._calls: set[CallEvents] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._next_at = 0.0
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def add(self, call: CallEvents) -> None:
        self._calls.add(call)
        self._is_empty.clear()

    def discard(self, call: CallEvents) -> None:
        self._calls.discard(call)
        if not self._calls:
            self._is_empty.set()

    async def is_empty(self) -> None:
        """Returns once Redis has the end of every call."""
        await self._is_empty.wait()

    def keys_of_all(self) -> list[CallKeys]:
        return [call.keys for call in self._calls]

    def verify(self) -> None:
        """Some call is lost: each asks after itself."""
        for call in list(self._calls):
            call.verify()

    def announce_again(self) -> None:
        """Redis is another server than before: it may lack any of the calls, or all."""
        for timer in self._timers:
            timer.cancel()
        for call in self._calls:
            call.hold()
        loop = asyncio.get_running_loop()
        between_s = max(_SPREAD_S / max(1, len(self._calls)), 1 / self._calls_per_s)
        self._timers = [
            loop.call_later((place + random.random()) * between_s, call.announce_again)
            for place, call in enumerate(random.sample(list(self._calls), len(self._calls)))
        ]

    def announce_soon(self, call: CallEvents) -> None:
        """The server is the one it was, and has lost the call: at once, or when it is its turn."""
        loop = asyncio.get_running_loop()
        if self._next_at <= loop.time():
            _log.warning("calls have gone from Redis; they are announced again")
            self._next_at = loop.time()
        loop.call_at(self._next_at, call.announce_again)
        self._next_at += 1 / self._calls_per_s
