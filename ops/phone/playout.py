"""A provider's playback buffer, sans-IO: what the caller hears, when, and how each mark ends.

Rule 1: audio drains in real time from the moment it arrives, or from where the audio before it
        ends; every deadline is anchor + samples / rate, never a sum of sleeps.
Rule 2: heard + queued + cleared bytes are the bytes received; silence is never invented. Of a
        packet that a clear cuts in two, all bytes count as heard.
Rule 3: a mark ends exactly once, after all audio before it: played, or cleared with its audio.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from common.audio import AudioFormat
from ops.phone.tape import Tape

__all__ = ["Mark", "MarkEnd", "Playout"]

#: Seconds by which audio may come late before the caller hears a gap rather than jitter.
JITTER_S = 0.020


class MarkEnd(StrEnum):
    PENDING = "pending"  # the call ended before it was reached
    PLAYED = "played"
    CLEARED = "cleared"


class Mark:
    """`due` is when the audio before it has been heard: fixed when the mark arrives, because only
    a clear changes what is queued before it."""

    def __init__(self, name: str, due: float) -> None:
        self.name = name
        self.due = due
        self.end = MarkEnd.PENDING


class Playout:
    def __init__(self, audio_format: AudioFormat) -> None:
        self.marks: list[Mark] = []
        self.received_samples = 0
        self.cleared_bytes = 0
        self.cleared_at: list[float] = []
        self.gaps_s: list[float] = []
        self._rate_hz = audio_format.rate_hz
        self._tape = Tape(audio_format)  # heard first, then what is queued
        # The stretch that plays without interruption: it began at `_anchor`, with this sample.
        self._anchor = float("-inf")
        self._anchor_sample = 0
        self._is_speaking = False
        self._pending: deque[Mark] = deque()
        self._ended: list[Mark] = []

    @property
    def end_time(self) -> float:
        """When all that is queued will have been heard; in the past when nothing is."""
        return self._anchor + (self._tape.samples - self._anchor_sample) / self._rate_hz

    @property
    def next_mark_time(self) -> float | None:
        return self._pending[0].due if self._pending else None

    def play(self, payload: bytes, samples: int, *, now: float) -> None:
        """`samples`: how long it lasts."""
        late_s = now - self.end_time
        if late_s >= 0:
            if self._is_speaking and late_s >= JITTER_S:
                self.gaps_s.append(late_s)
            self._anchor = now
            self._anchor_sample = self._tape.samples
        self._tape.append(payload, samples)
        self.received_samples += samples
        self._is_speaking = True

    def mark(self, name: str, *, now: float) -> None:
        mark = Mark(name, max(now, self.end_time))
        self.marks.append(mark)
        self._pending.append(mark)

    def clear(self, *, now: float) -> None:
        """Stop playing. What follows begins anew, so the time until then is no gap."""
        self.cleared_at.append(now)
        self._end_played_marks(now)
        while self._pending:
            self._end(self._pending.popleft(), MarkEnd.CLEARED)
        self.cleared_bytes += self.queued_bytes(now=now)
        self._tape.cut(self.heard_samples(now=now))
        self._is_speaking = False

    def take_ended_marks(self, *, now: float) -> list[Mark]:
        """The marks to echo, each once and in order."""
        self._end_played_marks(now)
        ended, self._ended = self._ended, []
        return ended

    def heard_samples(self, *, now: float) -> int:
        if now >= self.end_time:
            return self._tape.samples
        samples = int((now - self._anchor) * self._rate_hz)
        return min(self._anchor_sample + samples, self._tape.samples)

    def heard(self, *, now: float) -> bytes:
        return b"".join(self.heard_payloads(now=now))

    def heard_payloads(self, *, now: float) -> list[bytes]:
        """The same as a decoder wants it."""
        return self._tape.payloads(self.heard_samples(now=now))

    def queued_bytes(self, *, now: float) -> int:
        return len(self._tape) - self._tape.size(self.heard_samples(now=now))

    def _end_played_marks(self, now: float) -> None:
        while self._pending and self._pending[0].due <= now:
            self._end(self._pending.popleft(), MarkEnd.PLAYED)

    def _end(self, mark: Mark, end: MarkEnd) -> None:
        mark.end = end
        self._ended.append(mark)
