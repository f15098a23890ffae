"""The fate of every mark: played, cleared or lost, each exactly once, in order; sans-IO.

A mark ends as played when the provider gives it back (or, where the provider has no marks, when
the pacer's clock says that its audio was heard), as cleared at the moment of a clear, as lost when
the call ends first. Providers give marks back after a clear as well; such an echo says nothing new
and is swallowed.

Positions are the pacer's samples. A mark's `heard_ms` covers the audio from the mark, clear or
start before it, to itself.
"""

from __future__ import annotations

from collections import deque

import msgspec

from common.audio import AudioFormat
from common.errors import MessageError
from common.events import MarkOutcome, MarkReached

__all__ = ["Marks"]

_MAX_TO_SWALLOW = 1000


class _Mark(msgspec.Struct):
    name: str
    begins: int
    ends: int
    is_at_provider: bool = False


class Marks:
    def __init__(self, audio_format: AudioFormat, *, echoed: bool, returned_after_clear: bool):
        self._format = audio_format
        self._echoed = echoed
        self._returned_after_clear = returned_after_clear
        self._open: deque[_Mark] = deque()
        # Bounded, for a provider that swallows what it should return.
        self._to_swallow: deque[str] = deque(maxlen=_MAX_TO_SWALLOW)
        self._begins = 0

    def set(self, name: str, position: int) -> None:
        """A mark was queued behind the audio that ends at `position`."""
        self._open.append(_Mark(name, self._begins, position))
        self._begins = position

    def skipped(self, position: int, samples: int) -> None:
        """So many samples behind `position` will never be heard: what is behind them moves up."""

        def moved(place: int) -> int:
            return max(min(place, position), place - samples)

        for mark in self._open:
            mark.begins, mark.ends = moved(mark.begins), moved(mark.ends)
        self._begins = moved(self._begins)

    def sent(self) -> None:
        """The first mark not yet sent has left for the provider."""
        for mark in self._open:
            if not mark.is_at_provider:
                mark.is_at_provider = True
                return

    def echo(self, name: str) -> MarkReached | None:
        """The provider gave a mark back. None: a clear has ended it already. Raises MessageError
        for a mark that is not out there."""
        if name in self._to_swallow:
            # Echoes come in order: those expected before this one will not come any more.
            while self._to_swallow.popleft() != name:
                pass
            return None
        for index, mark in enumerate(self._open):
            if mark.is_at_provider and mark.name == name:
                del self._open[index]
                return self._ended(mark, MarkOutcome.PLAYED, mark.ends)
        raise MessageError("unknown_mark")

    def next_position(self) -> int | None:
        """Where the next mark lies that the clock must end; None when echoes do it."""
        if self._echoed or not self._open or not self._open[0].is_at_provider:
            return None
        return self._open[0].ends

    def heard(self, position: int) -> list[MarkReached]:
        """The caller has heard everything up to `position`: ends the marks that are not echoed."""
        ended = []
        while (end := self.next_position()) is not None and end <= position:
            ended.append(self._ended(self._open.popleft(), MarkOutcome.PLAYED, end))
        return ended

    def clear(self, *, heard: int, position: int) -> list[MarkReached]:
        """A clear: every open mark ends; audio goes on at `position`."""
        if self._echoed and self._returned_after_clear:
            self._to_swallow.extend(mark.name for mark in self._open if mark.is_at_provider)
        self._begins = position
        return self._end_all(MarkOutcome.CLEARED, heard)

    def lose(self, *, heard: int) -> list[MarkReached]:
        """The call is over: every open mark ends."""
        return self._end_all(MarkOutcome.LOST, heard)

    def _end_all(self, outcome: MarkOutcome, heard: int) -> list[MarkReached]:
        ended = [self._ended(mark, outcome, heard) for mark in self._open]
        self._open.clear()
        return ended

    def _ended(self, mark: _Mark, outcome: MarkOutcome, heard: int) -> MarkReached:
        samples = min(max(heard - mark.begins, 0), mark.ends - mark.begins)
        return MarkReached(mark.name, outcome, round(self._format.ms(samples)))
