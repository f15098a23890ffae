from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from ops.phone.playout import Mark, MarkEnd, Playout

FORMAT = AudioFormat.pcmu()
FRAME = bytes(range(160))  # 20 ms
T = 1000.0


def opened() -> Playout:
    return Playout(FORMAT)


def names(marks: list[Mark]) -> list[str]:
    return [f"{mark.name} {mark.end}" for mark in marks]


def test_audio_is_heard_in_real_time_from_its_arrival() -> None:
    playout = opened()
    playout.play(FRAME, len(FRAME), now=T)
    playout.play(FRAME, len(FRAME), now=T)
    assert playout.heard(now=T) == b""
    assert playout.heard(now=T + 0.010001) == FRAME[:80]
    assert playout.heard(now=T + 0.030001) == FRAME + FRAME[:80]
    assert playout.heard(now=T + 9) == FRAME + FRAME
    assert playout.end_time == pytest.approx(T + 0.040)


def test_mark_comes_back_at_once_when_nothing_is_queued() -> None:
    playout = opened()
    playout.mark("a", now=T)
    assert names(playout.take_ended_marks(now=T)) == ["a played"]
    assert playout.take_ended_marks(now=T + 1) == []


def test_mark_comes_back_when_the_audio_before_it_has_been_heard() -> None:
    playout = opened()
    playout.play(FRAME * 5, len(FRAME * 5), now=T)
    playout.mark("a", now=T)
    playout.play(FRAME * 5, len(FRAME * 5), now=T + 0.05)
    playout.mark("b", now=T + 0.05)
    assert playout.next_mark_time == pytest.approx(T + 0.1)
    assert playout.take_ended_marks(now=T + 0.0999) == []
    assert names(playout.take_ended_marks(now=T + 0.1001)) == ["a played"]
    assert names(playout.take_ended_marks(now=T + 0.3)) == ["b played"]
    assert playout.next_mark_time is None


def test_clear_returns_all_pending_marks_in_order_and_empties_the_buffer() -> None:
    playout = opened()
    playout.play(FRAME, len(FRAME), now=T)
    playout.mark("heard", now=T)
    playout.play(FRAME * 10, len(FRAME * 10), now=T)
    playout.mark("a", now=T)
    playout.mark("b", now=T)
    playout.clear(now=T + 0.050001)
    ended = playout.take_ended_marks(now=T + 0.050001)
    assert names(ended) == ["heard played", "a cleared", "b cleared"]
    assert playout.heard(now=T + 9) == FRAME * 2 + FRAME[:80]
    assert playout.cleared_bytes == 11 * 160 - 400
    assert playout.end_time <= T + 0.050001


def test_audio_after_a_clear_plays_at_once() -> None:
    playout = opened()
    playout.play(FRAME * 50, len(FRAME * 50), now=T)
    playout.clear(now=T + 0.02)
    playout.play(FRAME, len(FRAME), now=T + 0.03)
    playout.mark("new", now=T + 0.03)
    assert playout.next_mark_time == pytest.approx(T + 0.05)


def test_underrun_inside_speech_is_a_gap() -> None:
    playout = opened()
    playout.play(FRAME, len(FRAME), now=T)
    playout.play(FRAME, len(FRAME), now=T + 0.120)
    playout.play(FRAME, len(FRAME), now=T + 0.180)
    assert playout.gaps_s == pytest.approx([0.100, 0.040])
    assert playout.heard(now=T + 9) == FRAME * 3  # no silence is made up


@pytest.mark.parametrize("late_s", [0.0, 0.005, 0.0199])
def test_underrun_shorter_than_a_frame_is_jitter(late_s: float) -> None:
    playout = opened()
    playout.play(FRAME, len(FRAME), now=T)
    playout.play(FRAME, len(FRAME), now=T + 0.020 + late_s)
    assert playout.gaps_s == []


def test_time_before_the_first_and_after_the_last_audio_is_no_gap() -> None:
    playout = opened()
    playout.mark("early", now=T)
    playout.play(FRAME, len(FRAME), now=T + 5)
    playout.mark("late", now=T + 10)
    assert playout.gaps_s == []


def test_time_after_a_clear_is_no_gap() -> None:
    playout = opened()
    playout.play(FRAME * 5, len(FRAME * 5), now=T)
    playout.clear(now=T + 0.05)
    playout.play(FRAME, len(FRAME), now=T + 3)
    assert playout.gaps_s == []


def test_packets_are_heard_for_as_long_as_they_last() -> None:
    opus = Playout(AudioFormat(Encoding.OPUS, 16_000))
    for number in range(3):
        opus.play(bytes([number]) * (number + 1), 320, now=T)
    opus.mark("end", now=T)
    assert opus.end_time == opus.next_mark_time == pytest.approx(T + 0.060)
    assert opus.heard(now=T + 0.019) == b"\x00"
    assert opus.heard_payloads(now=T + 0.021) == [b"\x00", b"\x01\x01"]
    assert opus.queued_bytes(now=T + 0.021) == 3
    assert names(opus.take_ended_marks(now=T + 0.0601)) == ["end played"]


def test_clear_stops_in_the_middle_of_a_packet() -> None:
    opus = Playout(AudioFormat(Encoding.OPUS, 16_000))
    for number in range(3):
        opus.play(bytes([number]) * (number + 1), 320, now=T)
    opus.clear(now=T + 0.025)
    assert (opus.cleared_bytes, opus.cleared_at) == (3, [T + 0.025])
    assert opus.end_time <= T + 0.025
    opus.play(b"new", 320, now=T + 0.026)
    opus.mark("new", now=T + 0.026)
    assert opus.next_mark_time == pytest.approx(T + 0.046)
    assert opus.heard(now=T + 1) == b"\x00\x01\x01new"
    assert opus.received_samples == 4 * 320


def test_deadlines_do_not_drift() -> None:
    playout = opened()
    for number in range(3000):
        playout.play(FRAME, len(FRAME), now=T + number * 0.02 * 0.99)
    assert playout.end_time == pytest.approx(T + 60, abs=1e-9)


PAUSES = st.floats(0, 0.2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("play"), PAUSES, st.binary(min_size=1, max_size=700)),
        st.tuples(st.just("mark"), PAUSES, st.just(b"")),
        st.tuples(st.just("clear"), PAUSES, st.just(b"")),
        st.tuples(st.just("take"), PAUSES, st.just(b"")),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_byte_and_no_mark_is_ever_lost_or_doubled(steps: list[tuple[str, float, bytes]]) -> None:
    playout, now, received, marks = opened(), T, 0, 0
    heard = b""
    echoed: list[Mark] = []
    for verb, pause_s, payload in steps:
        now += pause_s
        if verb == "play":
            playout.play(payload, len(payload), now=now)
            received += len(payload)
        elif verb == "mark":
            playout.mark(str(marks), now=now)
            marks += 1
        elif verb == "clear":
            playout.clear(now=now)
            assert playout.queued_bytes(now=now) == 0
        else:
            echoed += playout.take_ended_marks(now=now)
        now_heard = playout.heard(now=now)
        assert now_heard.startswith(heard)
        heard = now_heard
        assert len(heard) + playout.queued_bytes(now=now) + playout.cleared_bytes == received
    echoed += playout.take_ended_marks(now=now + 1000)
    assert [mark.name for mark in echoed] == [str(number) for number in range(marks)]
    assert all(mark.end is not MarkEnd.PENDING for mark in playout.marks)
