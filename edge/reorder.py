"""Put back in order what a provider may send out of order; sans-IO, `now` is monotonic seconds.

Numbered frames wait only while one before them is missing, and never longer than the window: then
the missing ones are given up and counted. Dated events (keys pressed) have no successor to wait
for, so each is held for the length of the window.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

import msgspec

from common.errors import MessageError

__all__ = ["DatedHold", "NumberedWindow", "Released"]

ItemT = TypeVar("ItemT")

#: A number so far from the expected one is not a gap but nonsense.
_OUT_OF_RANGE = 1000


class Released(msgspec.Struct, Generic[ItemT], frozen=True):
    """`lost` numbers right before this item were given up."""

    item: ItemT
    lost: int


class _Held(msgspec.Struct, Generic[ItemT], frozen=True):
    item: ItemT
    until: float


class NumberedWindow(Generic[ItemT]):
    """`frames` and `hold_s`: how many may wait for a missing one, and for how long; 0 frames where
    order is guaranteed, so that only duplicates and gaps are seen."""

    def __init__(self, *, frames: int, hold_s: float) -> None:
        self._frames = frames
        self._hold_s = hold_s
        self._expected: int | None = None
        self._held: dict[int, _Held[ItemT]] = {}

    def push(self, number: int, item: ItemT, *, now: float) -> list[Released[ItemT]]:
        """What is in order now. Raises MessageError for `duplicate` and `out_of_range`; a frame
        that comes after it was given up counts as a duplicate too."""
        if self._expected is None:
            # Numbering begins at 0 or 1; the first to arrive need not be the first.
            self._expected = min(number, 1) if number <= self._frames + 1 else number
        distance = number - self._expected
        if distance == 0 and not self._held:
            self._expected += 1
            return [Released(item, 0)]
        if abs(distance) > _OUT_OF_RANGE:
            raise MessageError("out_of_range")
        if distance < 0 or number in self._held:
            raise MessageError("duplicate")
        self._held[number] = _Held(item, now + self._hold_s)
        if distance == 0:
            return self._release(0)
        if len(self._held) > self._frames:
            return self._give_up()
        return []

    def next_time(self) -> float | None:
        return min(held.until for held in self._held.values()) if self._held else None

    def tick(self, *, now: float) -> list[Released[ItemT]]:
        """What the window's time releases."""
        if not self._held:
            return []
        released: list[Released[ItemT]] = []
        while (due := self.next_time()) is not None and due <= now:
            released.extend(self._give_up())
        return released

    def flush(self) -> list[Released[ItemT]]:
        """Nothing more will come: what waits."""
        released: list[Released[ItemT]] = []
        while self._held:
            released.extend(self._give_up())
        return released

    def _give_up(self) -> list[Released[ItemT]]:
        assert self._expected is not None
        first = min(self._held)
        lost = first - self._expected
        self._expected = first
        return self._release(lost)

    def _release(self, lost: int) -> list[Released[ItemT]]:
        assert self._expected is not None
        released: list[Released[ItemT]] = []
        while self._expected in self._held:
            released.append(Released(self._held.pop(self._expected).item, lost))
            self._expected += 1
            lost = 0
        return released


class DatedHold(Generic[ItemT]):
    """Items leave `hold_s` after they came, those with an earlier date first."""

    def __init__(self, *, hold_s: float) -> None:
        self._hold_s = hold_s
        self._held: list[tuple[str, int, float, ItemT]] = []
        self._count = 0

    def push(self, date: str, item: ItemT, *, now: float) -> None:
        """`date` sorts as text, as ISO 8601 in one time zone does."""
        self._count += 1
        heappush(self._held, (date, self._count, now + self._hold_s, item))

    def next_time(self) -> float | None:
        return min(due for _, _, due, _ in self._held) if self._held else None

    def tick(self, *, now: float) -> list[ItemT]:
        if not self._held:
            return []
        released: list[ItemT] = []
        while any(due <= now for _, _, due, _ in self._held):
            released.append(heappop(self._held)[3])
        return released

    def flush(self) -> list[ItemT]:
        """Nothing more will come: what waits."""
        held, self._held = sorted(self._held, key=_date), []
        return [item for *_, item in held]


def _date(held: tuple[str, int, float, object]) -> tuple[str, int]:
    return held[:2]
