from __future__ import annotations

import pytest

from edge.tolerance import LIMITS, WINDOW_S, Tolerance

LIMIT = LIMITS["malformed"]


def test_five_malformed_messages_in_ten_seconds_are_too_many() -> None:
    tolerance = Tolerance()
    times = [100.0 + n * WINDOW_S / (LIMIT - 1) for n in range(LIMIT)]
    verdicts = [tolerance.is_exhausted_by("malformed", now=time) for time in times]
    assert (LIMIT, WINDOW_S) == (5, 10.0)
    assert verdicts == [False] * (LIMIT - 1) + [True]


def test_as_many_over_a_longer_time_are_not() -> None:
    tolerance = Tolerance()
    for n in range(1000):
        assert not tolerance.is_exhausted_by("malformed", now=100.0 + n * 2.6)


@pytest.mark.parametrize("reason", ["empty", "no_id", "other_stream", "unknown_event"])
def test_harmless_messages_may_come_for_ever(reason: str) -> None:
    tolerance = Tolerance()
    assert not any(tolerance.is_exhausted_by(reason, now=1.0) for _ in range(10_000))


def test_kinds_are_counted_apart() -> None:
    tolerance = Tolerance()
    for _ in range(LIMIT - 1):
        assert not tolerance.is_exhausted_by("malformed", now=1.0)
        assert not tolerance.is_exhausted_by("unknown_mark", now=1.0)
    assert tolerance.is_exhausted_by("malformed", now=1.0)
    assert not tolerance.is_exhausted_by("unknown_mark", now=1.0)
