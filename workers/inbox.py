"""The events of a call that wait for their handler."""

from __future__ import annotations

from collections import deque

from common.tail import Entry
from common.ticker import Wakeup

__all__ = ["Inbox"]


class Inbox:
    """`after` is the sequence of the last event that was handled before."""

    def __init__(self, after: int) -> None:
        self._last = after
        self._entries: deque[Entry] = deque()
        self._wakeup = Wakeup()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._entries)

    def feed(self, entries: list[Entry]) -> None:
        if self._is_closed or not entries:
            return
        self._entries.extend(entries)
        self._last = entries[-1].sequence
        self._wakeup.set()

    def feed_last(self, data: bytes) -> bool:
        """An event that nobody else will tell, behind those that were told; False when there was
        one before."""
        if self._is_closed:
            return False
        self.feed([Entry(self._last + 1, data)])
        self._is_closed = True
        return True

    async def has_next(self) -> None:
        while not self._entries:
            await self._wakeup.wait()

    def next(self) -> Entry:
        return self._entries.popleft()
