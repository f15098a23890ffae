"""Redis -> call runners: the events of all calls of a lane, read together.

A call whose agent lags is not read further until it has caught up; its events wait in Redis.
"""

from __future__ import annotations

from collections.abc import Callable

from common import process
from common.follower import Follower
from common.link import Link
from common.tail import Entry
from common.ticker import Ticker, Wakeup
from workers.ownership.owned_call import OwnedCall

__all__ = ["EventReader"]

_ENTRIES_PER_POLL = 64
_MAX_BACKLOG = 256


class EventReader:
    """`on_unreadable` is called with a call whose events Redis refuses to read."""

    def __init__(
        self, link: Link, *, tick_s: float, on_unreadable: Callable[[OwnedCall], None]
    ) -> None:
        self._follower: Follower[OwnedCall] = Follower(
            link,
            tick_s=tick_s,
            count=_ENTRIES_PER_POLL,
            on_entries=self._feed,
            on_unreadable=on_unreadable,
        )
        self._ticker = Ticker(tick_s)
        self._somebody_lags = Wakeup()
        self._lagging: dict[OwnedCall, int] = {}

    def follow(self, call: OwnedCall, *, after: int) -> None:
        self._follower.follow(call.keys.events, call, after=after)

    def forget(self, call: OwnedCall) -> None:
        """Should we own it again by now, by another claim, that one is followed on."""
        self._lagging.pop(call, None)
        self._follower.forget(call.keys.events, call)

    def is_lagging(self, call: OwnedCall) -> bool:
        """Whether there may be events of it that were not read yet."""
        return call in self._lagging

    async def run(self) -> None:
        async with process.background(self._follower.run()):
            await self._resume_those_that_caught_up()

    def _feed(self, call: OwnedCall, entries: list[Entry]) -> None:
        call.runner.feed(entries)
        if call.runner.backlog >= _MAX_BACKLOG:
            self._follower.forget(call.keys.events, call)
            self._lagging[call] = entries[-1].sequence
            self._somebody_lags.set()

    async def _resume_those_that_caught_up(self) -> None:
        while True:
            if not self._lagging:
                await self._somebody_lags.wait()
            for call, after in list(self._lagging.items()):
                if call.runner.backlog < _MAX_BACKLOG // 2:
                    del self._lagging[call]
                    self.follow(call, after=after)
            await self._ticker.tick()
