"""Messages that wait for their time to leave; sans-IO. Equal times leave as they were put."""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import heappop, heappush

from ops.phone.dialect import WsMessage

__all__ = ["Outbox"]


class Outbox:
    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, WsMessage]] = []
        self._count = 0

    @property
    def next_time(self) -> float:
        """Infinite when nothing waits."""
        return self._waiting[0][0] if self._waiting else math.inf

    def put(self, messages: Iterable[WsMessage], *, at: float) -> None:
        for message in messages:
            self._count += 1
            heappush(self._waiting, (at, self._count, message))

    def take_due(self, *, now: float) -> list[WsMessage]:
        messages: list[WsMessage] = []
        while self._waiting and self._waiting[0][0] <= now:
            messages.append(heappop(self._waiting)[2])
        return messages

    def take_all(self) -> list[WsMessage]:
        """Whatever waits, in order, though its time has not come."""
        return self.take_due(now=math.inf)
