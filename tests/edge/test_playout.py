from __future__ import annotations

import pytest

from common.audio import AudioFormat
from common.commands import HangUp, PlayAudio, SetMark
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
    line.push(audio(100))
    line.push(SetMark("a"))
    assert line.take_due(now=1.0)[-1] == SetMark("a")
    assert line.echo("a") == [MarkReached("a", PLAYED, 100)]


def test_mark_without_audio_before_it_is_no_exception() -> None:
    line = playout()
    line.push(SetMark("a"))
    assert line.take_due(now=1.0) == [SetMark("a")]
    assert line.echo("a") == [MarkReached("a", PLAYED, 0)]


def test_mark_that_the_provider_does_not_know_is_not_sent_but_told_by_the_clock() -> None:
    line = playout(NO_MARKS)
    line.push(audio(100))
    line.push(SetMark("a"))
    assert SetMark("a") not in line.take_due(now=1.0)
    assert line.heard(now=1.0999) == []
    assert line.next_time() == pytest.approx(1.1)
    assert line.heard(now=1.1) == [MarkReached("a", PLAYED, 100)]
    assert line.next_time() is None


def test_mark_told_by_the_clock_ends_at_the_time_that_was_asked_for() -> None:
    line = playout(NO_MARKS, lead_ms=60)
    for n in range(200):
        line.push(PlayAudio(b"\x55" * (100 + n)))
        line.push(SetMark(str(n)))
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
        line.push(audio(100))
        line.push(SetMark(name))
    line.take_due(now=1.0)
    assert line.clear(now=1.15) == [MarkReached("a", CLEARED, 100), MarkReached("b", CLEARED, 50)]


def test_audio_after_a_clear_counts_from_the_clear() -> None:
    line = playout()
    line.push(audio(1000))
    line.take_due(now=1.0)
    line.clear(now=1.1)
    line.push(audio(100))
    line.push(SetMark("a"))
    line.take_due(now=1.1)
    assert line.echo("a") == [MarkReached("a", PLAYED, 100)]


def test_marks_left_at_the_end_are_lost() -> None:
    line = playout()
    line.push(audio(100))
    line.push(SetMark("a"))
    line.take_due(now=1.0)
    assert line.lose(now=1.04) == [MarkReached("a", LOST, 40)]
    with pytest.raises(MessageError):
        line.echo("a")


def test_provider_that_cannot_clear_is_sent_little_ahead() -> None:
    assert sent_ms([*playout().take_due(now=1.0)]) == 0
    for traits, most in [(Traits(), 220), (Traits(clears=False), 80)]:
        line = playout(traits)
        line.push(audio(1000))
        assert sent_ms([*line.take_due(now=1.0)]) == most


def test_what_a_provider_cannot_clear_is_heard_to_its_end() -> None:
    line = playout(Traits(clears=False, echoes_marks=False))
    line.push(audio(1000))
    line.take_due(now=1.0)
    line.clear(now=1.0)
    line.push(SetMark("a"))
    line.take_due(now=1.0)
    assert line.heard(now=1.0) == []
    assert line.heard(now=1.08) == [MarkReached("a", PLAYED, 0)]


def test_nothing_is_played_before_the_call_is_answered() -> None:
    line = playout(Traits(waits_for_answer=True))
    line.push(audio(100))
    assert line.take_due(now=1.0) == []
    assert line.next_time() is None
    line.is_answered = True
    assert sent_ms([*line.take_due(now=2.0)]) == 100


def test_nothing_follows_the_hanging_up() -> None:
    line = playout()
    for command in (HangUp(), audio(20)):
        line.push(command)
    assert line.take_due(now=1.0) == [HangUp()]
