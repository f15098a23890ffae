from __future__ import annotations

from collections import deque

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.audio import AudioFormat
from common.errors import MessageError
from common.events import MarkOutcome, MarkReached
from edge.marks import Marks

PLAYED, CLEARED, LOST = MarkOutcome


def echoed(*, returned_after_clear: bool = True) -> Marks:
    return Marks(AudioFormat.pcmu(), echoed=True, returned_after_clear=returned_after_clear)


def clocked() -> Marks:
    return Marks(AudioFormat.pcmu(), echoed=False, returned_after_clear=False)


def with_marks(marks: Marks, **positions: int) -> Marks:
    """Marks that have left for the provider, at positions in samples."""
    for name, position in positions.items():
        marks.set(name, position)
        marks.sent()
    return marks


class TestEcho:
    def test_mark_is_played_when_it_comes_back(self) -> None:
        marks = with_marks(echoed(), a=800)
        assert marks.echo("a") == MarkReached("a", PLAYED, 100)

    def test_each_mark_covers_the_audio_since_the_one_before(self) -> None:
        marks = with_marks(echoed(), a=800, b=800, c=2400)
        assert [marks.echo(name) for name in "abc"] == [
            MarkReached("a", PLAYED, 100),
            MarkReached("b", PLAYED, 0),
            MarkReached("c", PLAYED, 200),
        ]

    def test_audio_that_was_skipped_was_not_heard(self) -> None:
        marks = with_marks(echoed(), a=800, b=1600, c=2400)
        marks.skipped(400, 1600)
        assert [marks.echo(name) for name in "abc"] == [
            MarkReached("a", PLAYED, 50),
            MarkReached("b", PLAYED, 0),
            MarkReached("c", PLAYED, 50),
        ]
        assert with_marks(marks, d=1600).echo("d") == MarkReached("d", PLAYED, 100)

    def test_mark_is_played_once(self) -> None:
        marks = with_marks(echoed(), a=800)
        marks.echo("a")
        with pytest.raises(MessageError, match="unknown_mark"):
            marks.echo("a")

    def test_mark_that_nobody_set_is_unknown(self) -> None:
        with pytest.raises(MessageError, match="unknown_mark"):
            with_marks(echoed(), a=800).echo("b")

    def test_mark_that_has_not_left_yet_cannot_come_back(self) -> None:
        marks = echoed()
        marks.set("a", 800)
        with pytest.raises(MessageError, match="unknown_mark"):
            marks.echo("a")

    def test_marks_of_one_name_end_one_by_one_in_order(self) -> None:
        marks = echoed()
        for position in (800, 2400):
            marks.set("a", position)
            marks.sent()
        assert marks.echo("a") == MarkReached("a", PLAYED, 100)
        assert marks.echo("a") == MarkReached("a", PLAYED, 200)

    def test_echo_that_overtakes_another_ends_its_own_mark_only(self) -> None:
        marks = with_marks(echoed(), a=800, b=1600)
        assert marks.echo("b") == MarkReached("b", PLAYED, 100)
        assert marks.echo("a") == MarkReached("a", PLAYED, 100)

    def test_clock_ends_no_mark_that_comes_back(self) -> None:
        marks = with_marks(echoed(), a=800)
        assert marks.next_position() is None
        assert marks.heard(10_000) == []


class TestClear:
    def test_marks_end_as_cleared_with_what_was_heard_of_them(self) -> None:
        marks = with_marks(echoed(), a=800, b=1600, c=2400)
        marks.echo("a")
        assert marks.clear(heard=1200, position=1400) == [
            MarkReached("b", CLEARED, 50),
            MarkReached("c", CLEARED, 0),
        ]

    def test_mark_that_was_heard_but_not_given_back_yet_is_cleared_with_all_its_audio(self) -> None:
        assert with_marks(echoed(), a=800).clear(heard=1600, position=1600) == [
            MarkReached("a", CLEARED, 100)
        ]

    def test_echoes_that_a_clear_brings_back_say_nothing_new(self) -> None:
        marks = with_marks(echoed(), a=800, b=1600)
        marks.clear(heard=0, position=1600)
        assert [marks.echo("a"), marks.echo("b")] == [None, None]
        with pytest.raises(MessageError, match="unknown_mark"):
            marks.echo("a")

    def test_mark_that_had_not_left_will_not_come_back(self) -> None:
        marks = echoed()
        marks.set("a", 800)
        marks.clear(heard=0, position=0)
        with pytest.raises(MessageError, match="unknown_mark"):
            marks.echo("a")

    def test_mark_of_the_same_name_after_the_clear_is_another(self) -> None:
        marks = with_marks(echoed(), a=800)
        marks.clear(heard=0, position=800)
        with_marks(marks, a=1600)
        assert marks.echo("a") is None
        assert marks.echo("a") == MarkReached("a", PLAYED, 100)

    def test_echo_after_the_ones_expected_ends_the_waiting_for_them(self) -> None:
        marks = with_marks(echoed(), a=800, b=1600)
        marks.clear(heard=0, position=1600)
        assert marks.echo("b") is None
        with pytest.raises(MessageError, match="unknown_mark"):
            marks.echo("a")

    def test_nothing_is_expected_where_cleared_marks_never_come_back(self) -> None:
        marks = with_marks(echoed(returned_after_clear=False), a=800)
        marks.clear(heard=0, position=800)
        with_marks(marks, a=1600)
        assert marks.echo("a") == MarkReached("a", PLAYED, 100)

    def test_first_mark_after_it_covers_the_audio_since(self) -> None:
        marks = with_marks(echoed(), a=800)
        marks.clear(heard=400, position=480)
        with_marks(marks, b=1280)
        assert marks.echo("b") == MarkReached("b", PLAYED, 100)

    def test_second_clear_finds_nothing_to_end(self) -> None:
        marks = with_marks(echoed(), a=800)
        marks.clear(heard=0, position=0)
        assert marks.clear(heard=0, position=0) == []


class TestClock:
    def test_mark_is_played_when_its_audio_was_heard(self) -> None:
        marks = with_marks(clocked(), a=800, b=1600)
        assert marks.next_position() == 800
        assert marks.heard(799) == []
        assert marks.heard(800) == [MarkReached("a", PLAYED, 100)]
        assert marks.next_position() == 1600

    def test_marks_passed_at_once_end_in_order(self) -> None:
        marks = with_marks(clocked(), a=800, b=1600)
        assert [mark.name for mark in marks.heard(5000)] == ["a", "b"]
        assert marks.next_position() is None

    def test_mark_that_has_not_left_yet_is_not_heard(self) -> None:
        marks = clocked()
        marks.set("a", 0)
        assert marks.next_position() is None
        assert marks.heard(5000) == []


def test_marks_that_are_left_are_lost_with_the_call() -> None:
    marks = with_marks(echoed(), a=800)
    marks.set("b", 1600)
    assert marks.lose(heard=1000) == [MarkReached("a", LOST, 100), MarkReached("b", LOST, 25)]
    assert marks.lose(heard=1000) == []


class Provider(RuleBasedStateMachine):
    """An agent that sets marks under few names and clears, and a provider that gives every mark
    back once, in order, some late; each mark must end once, as it should."""

    def __init__(self) -> None:
        super().__init__()
        self.marks = echoed()
        self.position = 0
        self.queued: deque[tuple[int, str]] = deque()
        self.at_provider: deque[tuple[int, str]] = deque()
        self.open: list[int] = []
        self.set_count = 0
        self.ended: list[int] = []

    def end(self, number: int) -> None:
        self.open.remove(number)
        self.ended.append(number)

    @rule(samples=st.integers(1, 4000))
    def play(self, samples: int) -> None:
        self.position += samples

    @rule(name=st.sampled_from("ab"))
    def set_mark(self, name: str) -> None:
        self.marks.set(name, self.position)
        self.queued.append((self.set_count, name))
        self.open.append(self.set_count)
        self.set_count += 1

    @precondition(lambda self: self.queued)
    @rule()
    def send(self) -> None:
        self.marks.sent()
        self.at_provider.append(self.queued.popleft())

    @precondition(lambda self: self.at_provider)
    @rule()
    def give_back(self) -> None:
        number, name = self.at_provider.popleft()
        reached = self.marks.echo(name)
        if number in self.open:
            assert reached is not None
            assert (reached.name, reached.outcome) == (name, PLAYED)
            self.end(number)
        else:
            assert reached is None

    @rule()
    def echo_of_nothing(self) -> None:
        with pytest.raises(MessageError, match="unknown_mark"):
            self.marks.echo("never set")

    @rule()
    def clear(self) -> None:
        self.all_end(self.marks.clear(heard=self.position, position=self.position), CLEARED)
        self.queued.clear()

    @rule()
    def lose(self) -> None:
        self.all_end(self.marks.lose(heard=self.position), LOST)
        self.queued.clear()
        self.at_provider.clear()
        self.marks = echoed()

    def all_end(self, reached: list[MarkReached], outcome: MarkOutcome) -> None:
        assert len(reached) == len(self.open)
        assert {mark.outcome for mark in reached} <= {outcome}
        for number in list(self.open):
            self.end(number)

    @invariant()
    def each_mark_ends_once(self) -> None:
        assert sorted(self.ended + self.open) == list(range(self.set_count))


TestAnyOrder = Provider.TestCase
