"""The audio on its way to the caller and the marks in it: pacer and marks as one; sans-IO."""

from __future__ import annotations

from common.audio import AudioFormat
from common.commands import Command, HangUp, PlayAudio, SetMark
from common.events import MarkReached
from edge.adapter import Traits
from edge.arrivals import Arrivals
from edge.deadlines import sooner
from edge.marks import Marks
from edge.pacer import Pacer, Pacing

__all__ = ["Playout"]

#: How far a provider that cannot clear is sent ahead: what it has, the caller will hear.
_LEAD_WITHOUT_CLEAR_MS = 60


class Playout:
    def __init__(self, play_format: AudioFormat, traits: Traits, *, lead_ms: int) -> None:
        self._format = play_format
        self._traits = traits
        lead_ms = lead_ms if traits.clears else min(lead_ms, _LEAD_WITHOUT_CLEAR_MS)
        self._arrivals = Arrivals(rate_hz=play_format.rate_hz, lead_s=lead_ms / 1000)
        self._pacer = Pacer(
            play_format,
            Pacing(
                traits.frame_ms,
                lead_ms,
                traits.max_message_ms,
                traits.min_interval_ms,
                traits.whole_frames,
            ),
        )
        self._marks = Marks(
            play_format,
            echoed=traits.echoes_marks,
            returned_after_clear=traits.returns_cleared_marks,
        )
        self.is_answered = not traits.waits_for_answer

    def push(self, command: Command, *, now: float) -> None:
        pacer = self._pacer
        if isinstance(command, SetMark):
            self._marks.set(command.name, pacer.pushed_samples)
        pacer.push(command)
        if isinstance(command, PlayAudio):
            self._arrivals.came(pacer.pushed_samples, sent=pacer.sent_samples, now=now)

    def skip_overdue(self, *, before: float) -> float:
        """The provider has taken nothing for a while: drop the audio that should have left before
        this time, so that the caller is not kept behind for the rest of the call; how many ms.
        Marks stay, in order."""
        pacer = self._pacer
        sent = pacer.sent_samples
        overdue = self._arrivals.overdue(sent=sent, heard_at=pacer.heard_time(sent), before=before)
        skipped = pacer.skip(overdue)
        self._arrivals.skipped(skipped, sent=sent)
        self._marks.skipped(sent, skipped)
        return self._format.ms(skipped)

    def clear(self, *, now: float) -> list[MarkReached]:
        """Drop what is queued; the marks that this ends."""
        heard = self._pacer.heard_samples(now=now)
        self._pacer.clear(now=now, at_provider=self._traits.clears)
        self._arrivals.clear()
        return self._marks.clear(heard=heard, position=self._pacer.pushed_samples)

    def take_due(self, *, now: float) -> list[Command]:
        """What the provider is to be told now; hanging up, if due, comes last."""
        if not self.is_answered:
            return []
        due: list[Command] = []
        for command in self._pacer.take_due(now=now):
            if isinstance(command, SetMark):
                self._marks.sent()
                if not self._traits.echoes_marks:
                    continue
            due.append(command)
            if isinstance(command, HangUp):
                break
        return due

    def heard(self, *, now: float) -> list[MarkReached]:
        """The marks that the clock ends."""
        return self._marks.heard(self._pacer.heard_samples(now=now))

    def echo(self, name: str) -> list[MarkReached]:
        """The provider gave a mark back. Raises MessageError for one that is not out there."""
        reached = self._marks.echo(name)
        return [] if reached is None else [reached]

    def lose(self, *, now: float) -> list[MarkReached]:
        """The call is over: the marks that are left."""
        return self._marks.lose(heard=self._pacer.heard_samples(now=now))

    def next_time(self) -> float | None:
        if not self.is_answered:
            return None
        position = self._marks.next_position()
        heard_at = None if position is None else self._pacer.heard_time(position)
        return sooner(self._pacer.next_time(), heard_at)
