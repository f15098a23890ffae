from __future__ import annotations

from edge.arrivals import Arrivals

RATE = 8000


def arrivals(*pieces: tuple[float, float], lead_s: float = 0.0) -> Arrivals:
    """Pieces of so many seconds, each with the time at which it came; nothing has left."""
    arrived = Arrivals(rate_hz=RATE, lead_s=lead_s)
    position = 0
    for seconds, at in pieces:
        position += round(seconds * RATE)
        arrived.came(position, sent=0, now=at)
    return arrived


def overdue_s(arrived: Arrivals, *, before: float, heard_at: float = 0.0, sent: int = 0) -> float:
    return arrived.overdue(sent=sent, heard_at=heard_at, before=before) / RATE


def test_nothing_is_overdue_of_nothing() -> None:
    assert overdue_s(arrivals(), before=100.0) == 0


def test_audio_that_came_as_it_is_heard_is_overdue_as_long_as_it_waits() -> None:
    live = arrivals(*((0.5, 10 + n / 2) for n in range(10)))  # until 15.0
    assert overdue_s(live, before=10.0) == 0
    assert overdue_s(live, before=13.0) == 3.0
    assert overdue_s(live, before=99.0) == 5.0


def test_long_answer_that_came_at_once_is_overdue_only_as_far_as_it_should_have_been_heard() -> (
    None
):
    answer = arrivals((60.0, 10.0))
    assert overdue_s(answer, before=13.0) == 3.0
    assert overdue_s(answer, heard_at=12.0, before=13.0) == 1.0


def test_audio_that_has_only_just_come_is_not_overdue_however_long_the_silence_before() -> None:
    assert overdue_s(arrivals((3.0, 14.9)), before=13.0) == 0
    assert overdue_s(arrivals((1.0, 10.0), (3.0, 14.9)), before=13.0) == 1.0


def test_what_leaves_ahead_of_its_time_is_overdue_earlier() -> None:
    assert overdue_s(arrivals((60.0, 10.0), lead_s=0.5), before=13.0) == 3.5


def test_what_was_sent_or_cleared_does_not_wait() -> None:
    assert overdue_s(arrivals((2.0, 10.0)), sent=RATE, heard_at=11.0, before=99.0) == 1.0
    cleared = arrivals((2.0, 10.0))
    cleared.clear()
    assert overdue_s(cleared, before=99.0) == 0


def test_what_was_skipped_is_overdue_no_more() -> None:
    live = arrivals(*((0.5, 10 + n / 2) for n in range(10)))
    live.skipped(3 * RATE, sent=0)
    assert overdue_s(live, before=13.0) == 0
    assert overdue_s(live, before=99.0) == 2.0


def test_only_what_waits_is_remembered() -> None:
    arrived = Arrivals(rate_hz=RATE, lead_s=0.0)
    for n in range(1, 1001):
        arrived.came(160 * n, sent=160 * (n - 1), now=n / 50)
    assert len(arrived._waiting) == 1
