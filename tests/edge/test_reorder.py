from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import MessageError
from edge.reorder import DatedHold, NumberedWindow, Released

HOLD_S = 0.1


def window(frames: int = 5, hold_s: float = HOLD_S) -> NumberedWindow[int]:
    return NumberedWindow(frames=frames, hold_s=hold_s)


def push(line: NumberedWindow[int], *numbers: int, now: float = 0.0) -> list[int]:
    """What comes out; items are their own numbers."""
    return [released.item for number in numbers for released in line.push(number, number, now=now)]


def refusal(line: NumberedWindow[int], number: int) -> str:
    with pytest.raises(MessageError) as raised:
        line.push(number, number, now=0.0)
    return raised.value.reason


class TestNumberedWindow:
    def test_what_is_in_order_does_not_wait(self) -> None:
        line = window()
        assert push(line, 1, 2, 3) == [1, 2, 3]
        assert line.next_time() is None

    def test_what_comes_early_waits_for_what_is_missing(self) -> None:
        line = window()
        assert push(line, 1, 3, 4) == [1]
        assert push(line, 2) == [2, 3, 4]

    @pytest.mark.parametrize("first", [0, 1, 3, 6])
    def test_first_to_arrive_need_not_be_the_first(self, first: int) -> None:
        line = window()
        waiting = push(line, first)
        assert waiting == ([first] if first <= 1 else [])

    def test_numbering_may_begin_anywhere(self) -> None:
        assert push(window(), 4711, 4712) == [4711, 4712]

    def test_nothing_waits_where_order_is_guaranteed(self) -> None:
        line = window(frames=0)
        assert line.push(1, 1, now=0.0) == [Released(1, 0)]
        assert line.push(4, 4, now=0.0) == [Released(4, 2)]

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_number_that_was_there_before_is_a_duplicate(self, number: int) -> None:
        line = window()
        push(line, 1, 2, 4)
        assert refusal(line, number) == "duplicate"

    def test_number_that_was_given_up_is_a_duplicate(self) -> None:
        line = window()
        push(line, 1, 3)
        line.tick(now=HOLD_S)
        assert refusal(line, 2) == "duplicate"

    @pytest.mark.parametrize("number", [1002 + 1, 10**12])
    def test_number_far_away_is_out_of_range(self, number: int) -> None:
        line = window()
        push(line, 1)
        assert refusal(line, number) == "out_of_range"
        assert push(line, 2) == [2]

    def test_frame_too_many_gives_the_missing_one_up(self) -> None:
        line = window(frames=2)
        push(line, 1)
        assert push(line, 3, 4) == []
        assert line.push(5, 5, now=0.0) == [Released(3, 1), Released(4, 0), Released(5, 0)]

    def test_time_gives_the_missing_one_up(self) -> None:
        line = window()
        push(line, 1, 4, now=7.0)
        assert line.next_time() == pytest.approx(7.1)
        assert line.tick(now=7.0999) == []
        assert line.tick(now=7.1001) == [Released(4, 2)]

    def test_frame_behind_two_gaps_waits_no_longer_than_one_behind_one(self) -> None:
        line = window()
        push(line, 1)
        push(line, 3, now=0.00)
        push(line, 5, now=0.06)
        assert line.tick(now=0.1001) == [Released(3, 1)]
        assert line.next_time() == pytest.approx(0.16)
        assert line.tick(now=0.1601) == [Released(5, 1)]

    def test_what_waits_is_told_at_the_end(self) -> None:
        line = window()
        push(line, 1, 3, 6)
        assert line.flush() == [Released(3, 1), Released(6, 2)]
        assert line.flush() == []

    @given(st.integers(0, 2**32), st.sampled_from(["blocks", "displaced"]))
    def test_two_hundred_frames_shuffled_within_five_come_in_order(
        self, seed: int, how: str
    ) -> None:
        line, dice = window(), random.Random(seed)
        numbers = list(range(1, 201))
        if how == "blocks":
            order = [n for at in range(0, 200, 5) for n in dice.sample(numbers[at : at + 5], 5)]
        else:
            order = sorted(numbers, key=lambda number: number + dice.uniform(0, 5))
        assert push(line, *order) == numbers

    @given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 0.05))))
    def test_each_number_leaves_once_in_order_and_in_time(
        self, arrivals: list[tuple[int, float]]
    ) -> None:
        line, now = window(), 0.0
        arrived: dict[int, float] = {}
        left: list[int] = []

        def note(released: list[Released[int]], at: float) -> None:
            for each in released:
                number, lost = each.item, each.lost
                assert lost == number - left[-1] - 1 if left else lost >= 0
                assert at - arrived[number] <= HOLD_S + 1e-9
                left.append(number)

        for number, step in arrivals:
            until = now + step
            while (due := line.next_time()) is not None and due <= until:
                note(line.tick(now=due), due)
            now = until
            arrived.setdefault(number, now)
            with suppress(MessageError):
                note(line.push(number, number, now=now), now)
        note(line.flush(), now)
        assert left == sorted(set(left))


class TestDatedHold:
    def test_each_is_held_for_the_time_of_the_window(self) -> None:
        hold: DatedHold[str] = DatedHold(hold_s=HOLD_S)
        assert hold.next_time() is None
        hold.push("2026-01-01", "a", now=1.0)
        assert hold.next_time() == pytest.approx(1.1)
        assert hold.tick(now=1.05) == []
        assert hold.tick(now=1.1001) == ["a"]

    def test_earlier_date_leaves_first_though_it_came_last(self) -> None:
        hold: DatedHold[str] = DatedHold(hold_s=HOLD_S)
        for date, at in (("3", 0.0), ("1", 0.05), ("2", 0.09)):
            hold.push(date, date, now=at)
        assert hold.tick(now=0.1001) == ["1", "2", "3"]

    def test_same_date_keeps_the_order_of_arrival(self) -> None:
        hold: DatedHold[str] = DatedHold(hold_s=HOLD_S)
        for item in "abc":
            hold.push("", item, now=0.0)
        assert hold.tick(now=1.0) == ["a", "b", "c"]

    def test_what_waits_is_told_at_the_end(self) -> None:
        hold: DatedHold[str] = DatedHold(hold_s=HOLD_S)
        hold.push("2", "b", now=0.0)
        hold.push("1", "a", now=0.0)
        assert hold.flush() == ["a", "b"]
        assert (hold.flush(), hold.next_time()) == ([], None)
