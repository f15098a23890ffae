"""What one caller hears: the provider's playout buffer, as far as its marks need it; no I/O but the
ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ops.phone.dialect import Dialect
from tests.system.chaos import frames, score
from tests.system.chaos.ledger import Kind, Ledger
from tests.system.chaos.score import Rules

__all__ = ["WITHOUT_MARKS", "Ear", "Mark", "number_of"]

_FRAME_S = 0.020

#: Providers whose protocol has no marks: the edge tells them by its clock.
WITHOUT_MARKS = frozenset({"sunvone"})


class Mark(NamedTuple):
    name: str
    due: float
    is_cleared: bool = False


class Ear:
    def __init__(self, caller: int, dialect: Dialect, rules: Rules, ledger: Ledger) -> None:
        self._caller = caller
        self._rules = rules
        self._ledger = ledger
        audio_format = dialect.play_format or dialect.format
        self._frame_bytes = audio_format.bytes_for(audio_format.samples_for_ms(_FRAME_S * 1000))
        self._ends_at = 0.0
        self._marks: deque[Mark] = deque()
        self._call = 0
        self._highest = 0
        self._last_mark = 0
        self._torn = b""
        self._has_marks = dialect.name not in WITHOUT_MARKS

    def hear(self, payload: bytes, now: float) -> None:
        size = self._frame_bytes
        payload = self._torn + payload
        whole = len(payload) - len(payload) % size
        self._torn = payload[whole:]
        for start in range(0, whole, size):
            self._frame(payload[start : start + size])
        self._ends_at = max(self._ends_at, now) + whole // size * _FRAME_S

    def _frame(self, payload: bytes) -> None:
        caller = self._caller
        played = frames.read_played(payload)
        if played is None or (self._call and played.call != self._call):
            self._ledger.write(Kind.DAMAGED, caller, detail=len(payload))
            return
        self._call = played.call
        self._highest = max(self._highest, played.sequence)
        self._ledger.write(
            Kind.HEARD,
            caller,
            played.sequence,
            heard=played.heard,
            digest=played.digest,
            detail=played.flags,
        )

    def has_heard(self, said: int) -> bool:
        """Whether the agent has nothing to add to so many frames."""
        rules = self._rules
        mark = score.played_after(said - said % score.MARK_EVERY, rules)
        is_told = said < score.MARK_EVERY or self._last_mark == mark or not self._has_marks
        return self._highest >= score.played_after(said, rules) and is_told and not self._marks

    def mark(self, name: str, now: float) -> None:
        self._last_mark = number_of(name)
        self._marks.append(Mark(name, max(now, self._ends_at)))

    def clear(self, now: float) -> None:
        self._ends_at = min(self._ends_at, now)
        self._marks = deque(
            mark._replace(due=now, is_cleared=mark.due > now) for mark in self._marks
        )

    def next_mark_time(self) -> float:
        return self._marks[0].due if self._marks else float("inf")

    def ended_marks(self, now: float) -> Iterator[Mark]:
        while self._marks and self._marks[0].due <= now:
            yield self._marks.popleft()


def number_of(name: str) -> int:
    """Of a mark `m<number>`; 0 for a mark that the agent never set."""
    number = name.removeprefix("m")
    return int(number) if number.isdecimal() else 0
