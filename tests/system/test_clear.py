"""Barge-in on every provider at once: twenty calls with ten seconds of speech queued each."""

from __future__ import annotations

import pytest

from ops.bench.clear_to_silence import MarkEnd, Measurement, measure
from ops.bench.interrupter import MARKS
from ops.phone.dialects import known_dialects

CALLS = 4


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    return measure(CALLS)


def test_nothing_that_was_cleared_comes_after_the_clear(measurement: Measurement) -> None:
    assert len(measurement.interruptions) == CALLS * len(known_dialects())
    for call in measurement.interruptions:
        assert (call.stale_bytes, call.faults) == (0, {}), call


@pytest.mark.parametrize("provider", known_dialects())
def test_every_mark_ends_once_in_order_and_says_what_was_heard(
    measurement: Measurement, provider: str
) -> None:
    calls = [marks for name, marks in measurement.marks if name == provider]
    assert len(calls) == CALLS
    for marks in calls:
        assert [mark.name for mark in marks] == [*(f"second-{n}" for n in range(MARKS)), "after"]
        *spoken, after = marks
        played = [mark.outcome for mark in spoken].count("played")
        first, (cleared, *others) = spoken[:played], spoken[played:]
        assert first
        assert {(mark.outcome, mark.heard_ms) for mark in first} == {("played", 1000)}
        assert (cleared.outcome, 0 <= cleared.heard_ms < 1000) == ("cleared", True)
        assert {(mark.outcome, mark.heard_ms) for mark in others} == {("cleared", 0)}
        assert after == MarkEnd("after", "played", 20)
