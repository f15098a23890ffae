"""The events of a call that wait for their handler."""

from __future__ import annotations

from collections import deque

from common.errors import WireError
from common.events import CallEnded
from common.tail import Entry
from common.ticker import Wakeup
from common.wire import decode_event

__all__ = ["Inbox"]


class Inbox:
    """`after` is the sequence of the last event that was handled before."""

    def __init__(self, after: int) -> None:
        self._last = after
        self._entries: deque[Entry] = deque()
        self._wakeup = Wakeup()
        self._is_closed = False
        #: Known to be the last, and not handled yet.
        self._end: Entry | None = None
        self._has_come = False

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

    def holds_end(self) -> bool:
        """Whether the call's last event waits here."""
        return bool(self._entries) and self.foresee(self._entries[-1])

    def foresee(self, latest: Entry) -> bool:
        """Whether this is the call's last event; what comes before it may not be fed yet."""
        try:
            is_end = isinstance(decode_event(latest.data).event, CallEnded)
        except WireError:
            return False  # which will be said when its turn comes
        if is_end and not self._has_come:
            self._end = latest
        return is_end

    def skip_to_end(self) -> bool:
        """The end, as it was found, comes next; False when it has come before."""
        end, self._end = self._end, None
        if end is None:
            return False
        self._entries.clear()
        self._is_closed = False
        self.feed([end])
        self._is_closed = True
        return True

    def end_has_come(self) -> None:
        """It is handled now; another that is found, there or in Redis, is the same told twice."""
        self._has_come = True
        self._end = None

    async def has_next(self) -> None:
        while not self._entries:
            await self._wakeup.wait()

    def next(self) -> Entry:
        entry = self._entries.popleft()
        if self._end is not None and self._end.sequence <= entry.sequence:
            self._end = None
        return entry
