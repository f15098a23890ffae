from __future__ import annotations

import pytest

from common.audio import AudioFormat
from common.commands import HangUp, PlayAudio, SendDtmf, SetMark
from common.errors import MessageError
from common.events import MarkOutcome, MarkReached
from edge.adapter import Traits
from edge.playout import Playout

PLAYED, CLEARED, LOST = MarkOutcome
NO_MARKS = Traits(echoes_marks=False)


def playout(traits: Traits | None = None, *, lead_ms: int = 200) -> Playout:
    return Playout(AudioFormat.pcmu(), traits or Traits(), lead_ms=lead_ms)


def audio(ms: int) -> PlayAudio:
    return PlayAudio(b"\x55" * 8 * ms)


def sent_ms(due: list[object]) -> float:
    return sum(len(command.payload) for command in due if isinstance(command, PlayAudio)) / 8


def test_mark_leaves_after_its_audio_and_is_played_when_it_comes_back() -> None:
    line = playout()
    line.push(audio(100), now=1.0)
    line.push(SetMark("a"), now=1.0)
    assert line.take_due(now=1.0)[-1] == SetMark("a")
    assert line.echo("a") == [MarkReached("a", PLAYED, 100)]


def test_mark_without_audio_before_it_is_no_exception() -> None:
    line = playout()
    line.push(SetMark("a"), now=1.0)
    assert line.take_due(now=1.0) == [SetMark("a")]
    assert line.echo("a") == [MarkReached("a", PLAYED, 0)]


def test_mark_that_the_provider_does_not_know_is_not_sent_but_told_by_the_clock() -> None:
    line = playout(NO_MARKS)
    line.push(audio(100), now=1.0)
    line.push(SetMark("a"), now=1.0)
    assert SetMark("a") not in line.take_due(now=1.0)
    assert line.heard(now=1.0999) == []
    assert line.next_time() == pytest.approx(1.1)
    assert line.heard(now=1.1) == [MarkReached("a", PLAYED, 100)]
    assert line.next_time() is None


def test_mark_told_by_the_clock_ends_at_the_time_that_was_asked_for() -> None:
    line = playout(NO_MARKS, lead_ms=60)
    for n in range(200):
        line.push(PlayAudio(b"\x55" * (100 + n)), now=1.0)
        line.push(SetMark(str(n)), now=1.0)
    now, told = 1.0, 0
    while (time := line.next_time()) is not None:
        assert time > now or now == 1.0
        now = max(time, now)
        line.take_due(now=now)
        told += len(line.heard(now=now))
    assert told == 200


def test_clear_tells_what_was_heard_of_each_mark() -> None:
    line = playout()
    for name in ("a", "b"):
        line.push(audio(100), now=1.0)
        line.push(SetMark(name), now=1.0)
    line.take_due(now=1.0)
    assert line.clear(now=1.15) == [MarkReached("a", CLEARED, 100), MarkReached("b", CLEARED, 50)]


def test_audio_after_a_clear_counts_from_the_clear() -> None:
    line = playout()
    line.push(audio(1000), now=1.0)
    line.take_due(now=1.0)
    line.clear(now=1.1)
    line.push(audio(100), now=1.0)
    line.push(SetMark("a"), now=1.0)
    line.take_due(now=1.1)
    assert line.echo("a") == [MarkReached("a", PLAYED, 100)]


def test_marks_left_at_the_end_are_lost() -> None:
    line = playout()
    line.push(audio(100), now=1.0)
    line.push(SetMark("a"), now=1.0)
    line.take_due(now=1.0)
    assert line.lose(now=1.04) == [MarkReached("a", LOST, 40)]
    with pytest.raises(MessageError):
        line.echo("a")


def test_provider_that_cannot_clear_is_sent_little_ahead() -> None:
    assert sent_ms([*playout().take_due(now=1.0)]) == 0
    for traits, most in [(Traits(), 220), (Traits(clears=False), 80)]:
        line = playout(traits)
        line.push(audio(1000), now=1.0)
        assert sent_ms([*line.take_due(now=1.0)]) == most


def test_what_a_provider_cannot_clear_is_heard_to_its_end() -> None:
    line = playout(Traits(clears=False, echoes_marks=False))
    line.push(audio(1000), now=1.0)
    line.take_due(now=1.0)
    line.clear(now=1.0)
    line.push(SetMark("a"), now=1.0)
    line.take_due(now=1.0)
    assert line.heard(now=1.0) == []
    assert line.heard(now=1.08) == [MarkReached("a", PLAYED, 0)]


def test_nothing_is_played_before_the_call_is_answered() -> None:
    line = playout(Traits(waits_for_answer=True))
    line.push(audio(100), now=1.0)
    assert line.take_due(now=1.0) == []
    assert line.next_time() is None
    line.is_answered = True
    assert sent_ms([*line.take_due(now=2.0)]) == 100


def test_nothing_follows_the_hanging_up() -> None:
    line = playout()
    for command in (HangUp(), audio(20)):
        line.push(command, now=1.0)
    assert line.take_due(now=1.0) == [HangUp()]


class TestOverdue:
    """The provider takes nothing for five seconds while the agent goes on."""

    def stalled(self, traits: Traits | None = None) -> Playout:
        """A second of audio and a mark each second, none of it sent since 1.0."""
        line = playout(traits)
        for second in range(5):
            line.push(audio(1000), now=1.0 + second)
            line.push(SetMark(str(second)), now=1.0 + second)
        return line

    def test_audio_that_should_have_left_is_dropped_and_the_rest_leaves(self) -> None:
        line = self.stalled()
        assert line.skip_overdue(before=4.0) == 3200  # what leaves ahead included
        now, sent = 6.0, 0.0
        while (time := line.next_time()) is not None:
            now = max(now, time)
            sent += sent_ms(list(line.take_due(now=now)))
        assert sent == 5000 - 3200
        assert now == pytest.approx(6.0 + 1.8 - 0.2, abs=0.021)

    def test_marks_stay_in_order_and_tell_what_was_heard(self) -> None:
        line = self.stalled()
        line.skip_overdue(before=4.0)
        marks = [c.name for c in line.take_due(now=60.0) if isinstance(c, SetMark)]
        assert marks == ["0", "1", "2"]
        assert [line.echo(name)[0].heard_ms for name in marks] == [0, 0, 0]
        while (time := line.next_time()) is not None:
            marks += [c.name for c in line.take_due(now=max(60.0, time)) if isinstance(c, SetMark)]
        assert marks == ["0", "1", "2", "3", "4"]
        assert [line.echo(name)[0].heard_ms for name in "34"] == [800, 1000]

    def test_marks_told_by_the_clock_are_told(self) -> None:
        line = self.stalled(NO_MARKS)
        line.skip_overdue(before=4.0)
        now, told = 6.0, []
        while (time := line.next_time()) is not None:
            now = max(now, time)
            line.take_due(now=now)
            told += [(mark.name, mark.heard_ms) for mark in line.heard(now=now)]
        assert told == [("0", 0), ("1", 0), ("2", 0), ("3", 800), ("4", 1000)]

    def test_what_has_left_is_not_dropped(self) -> None:
        line = playout()
        line.push(audio(1000), now=1.0)
        assert sent_ms(list(line.take_due(now=1.0))) == 220
        assert line.skip_overdue(before=1.5) == 480
        assert line.skip_overdue(before=1.0) == 0

    def test_nothing_is_overdue_without_a_stall(self) -> None:
        line = playout()
        line.push(audio(60_000), now=1.0)
        now = 1.0
        while now < 20.0:
            now = line.next_time() or now
            line.take_due(now=now)
        assert line.skip_overdue(before=now - 2.0) == 0

    def test_hanging_up_and_keys_stay(self) -> None:
        line = playout()
        line.push(audio(1000), now=1.0)
        line.push(SendDtmf("1"), now=1.0)
        line.push(HangUp(), now=1.0)
        line.skip_overdue(before=60.0)
        assert line.take_due(now=60.0) == [SendDtmf("1"), HangUp()]
