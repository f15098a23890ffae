from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from common.commands import Command, HangUp, PlayAudio, SendDtmf, SetMark
from edge.pacer import HANG_UP_MARGIN_S, Pacer, Pacing

PCMU = AudioFormat.pcmu()
FRAME = 160
START = 1000.0


def audio(ms: float, fill: bytes = b"\x55") -> PlayAudio:
    return PlayAudio(fill * round(8 * ms))


def queued_samples(pacer: Pacer) -> int:
    return pacer.pushed_samples - pacer.sent_samples


class Line:
    """A pacer, the clock, and what has left so far."""

    def __init__(
        self, *, audio_format: AudioFormat = PCMU, lead_ms: int = 60, **pacing: Any
    ) -> None:
        self.pacer = Pacer(audio_format, Pacing(lead_ms=lead_ms, **pacing))
        self.now = START
        self.left: list[tuple[float, Command]] = []

    def push(self, *commands: Command) -> Line:
        for command in commands:
            self.pacer.push(command)
        return self

    def wake(self, at: float | None = None) -> Line:
        self.now = self.now if at is None else at
        self.left += [(self.now, command) for command in self.pacer.take_due(now=self.now)]
        return self

    def run(self, *, until: float = START + 3600, late: random.Random | None = None) -> Line:
        """Wake up whenever the pacer asks for it, or up to 50 ms later."""
        while (time := self.pacer.next_time()) is not None and time <= until:
            self.wake(max(time, self.now) + (late.uniform(0, 0.05) if late else 0.0))
        return self

    @property
    def commands(self) -> list[Command]:
        return [command for _, command in self.left]

    @property
    def payloads(self) -> list[bytes]:
        return [command.payload for command in self.commands if isinstance(command, PlayAudio)]

    @property
    def sizes(self) -> list[int]:
        return [len(payload) for payload in self.payloads]

    def left_at(self, kind: type[Command]) -> float:
        (time,) = [time for time, command in self.left if isinstance(command, kind)]
        return time


class TestSpeed:
    def test_lead_leaves_at_once_and_no_more(self) -> None:
        line = Line(lead_ms=60).push(audio(1000)).wake()
        assert line.sizes == [FRAME] * 4  # the lead, and the frame that is due when it is reached
        assert line.pacer.next_time() == pytest.approx(START + 0.02)

    def test_rest_leaves_as_fast_as_it_is_heard(self) -> None:
        line = Line(lead_ms=60).push(audio(10_000)).run()
        times = [time for time, _ in line.left]
        assert times[4:] == pytest.approx([START + 0.02 * n for n in range(1, 497)])

    def test_late_wake_ups_never_add_up(self) -> None:
        line = Line(lead_ms=200).push(audio(60_000)).wake().run(late=random.Random(1))
        assert line.pacer.heard_time(60 * 8000) == pytest.approx(START + 60, abs=1e-6)
        assert line.now <= START + 60 - 0.2 + 0.05

    def test_wake_ups_that_are_later_than_the_lead_cost_what_was_not_played(self) -> None:
        line = Line(lead_ms=60).push(audio(1000)).wake()
        line.wake(START + 0.5).run()  # 80 ms had been sent
        assert line.pacer.heard_time(8000) == pytest.approx(START + 1 + 0.5 - 0.08)

    def test_audio_after_a_pause_starts_anew(self) -> None:
        line = Line().push(audio(100)).run()
        line.push(audio(100)).wake(START + 10).run()
        assert line.pacer.heard_time(1600) == pytest.approx(START + 10.1)

    def test_audio_in_time_is_joined_to_what_is_playing(self) -> None:
        line = Line().push(audio(100)).run()
        line.push(audio(100)).wake(START + 0.09).run()
        assert line.pacer.heard_time(1600) == pytest.approx(START + 0.2)

    def test_nothing_queued_asks_for_no_wake_up(self) -> None:
        assert Line().pacer.next_time() is None
        assert Line().push(audio(20)).wake().pacer.next_time() is None

    def test_messages_keep_their_distance_where_the_provider_wants_it(self) -> None:
        line = Line(lead_ms=200, min_interval_ms=50, max_message_ms=100).push(audio(1000)).run()
        times = [time for time, _ in line.left]
        assert min(later - time for time, later in pairwise(times)) > 0.0499
        assert sum(line.sizes) == 8000


class TestPieces:
    def test_audio_is_cut_into_frames_across_payloads(self) -> None:
        payloads = [bytes([n]) * 333 for n in range(30)]
        line = Line(lead_ms=60).push(*map(PlayAudio, payloads)).run()
        assert b"".join(line.payloads) == b"".join(payloads)
        assert line.sizes == [FRAME] * 62 + [30 * 333 - 62 * FRAME]

    def test_much_that_is_due_leaves_as_one_message(self) -> None:
        line = Line(lead_ms=200).push(audio(1000)).wake()
        assert line.sizes == [10 * FRAME, FRAME]

    def test_few_frames_that_are_due_leave_one_by_one(self) -> None:
        line = Line(lead_ms=80).push(audio(1000)).wake()
        assert set(line.sizes) == {FRAME}

    def test_after_a_stall_the_lead_is_restored_by_one_message(self) -> None:
        line = Line(lead_ms=200).push(audio(1000)).wake().wake(START + 0.15)
        assert line.sizes == [10 * FRAME, FRAME, 6 * FRAME, FRAME]

    def test_message_is_never_longer_than_the_provider_takes(self) -> None:
        line = Line(lead_ms=2000, max_message_ms=300).push(audio(5000)).wake()
        assert max(line.sizes) == 15 * FRAME
        assert sum(line.sizes) >= 2000 * 8

    def test_packets_of_a_codec_stay_whole_and_last_as_long_as_they_say(self) -> None:
        opus = AudioFormat(Encoding.OPUS, 48_000)
        packets = [PlayAudio(bytes([n]) * (n + 1), samples=960) for n in range(50)]
        line = Line(audio_format=opus).push(*packets).run()
        assert line.commands == [*packets]
        assert line.pacer.heard_time(50 * 960) == pytest.approx(START + 1)

    def test_packets_that_come_without_their_length_tell_it_themselves(self) -> None:
        opus = AudioFormat(Encoding.OPUS, 48_000)
        packets = [PlayAudio(b"\x08" + bytes([n])) for n in range(50)]
        line = Line(audio_format=opus).push(*packets).run()
        assert line.commands == [*packets]
        assert line.left[-1][0] == pytest.approx(START + 0.98 - 0.06)
        assert line.pacer.heard_time(50 * 960) == pytest.approx(START + 1)

    def test_clear_takes_packets_and_counts_what_was_heard_of_them(self) -> None:
        opus = AudioFormat(Encoding.OPUS, 48_000)
        line = Line(audio_format=opus, lead_ms=60)
        line.push(*[PlayAudio(b"\x08" + bytes([n])) for n in range(50)]).run(until=START + 0.5)
        assert line.pacer.heard_samples(now=START + 0.5) == 24_000
        line.pacer.clear(now=START + 0.5, at_provider=True)
        assert (queued_samples(line.pacer), line.pacer.next_time()) == (0, None)
        line.push(PlayAudio(b"\x08\xff")).wake(START + 0.51)
        assert line.commands[-1] == PlayAudio(b"\x08\xff")
        assert line.pacer.heard_time(line.pacer.pushed_samples) == pytest.approx(START + 0.53)

    def test_last_frame_is_filled_up_where_only_whole_ones_are_taken(self) -> None:
        line = Line(whole_frames=True).push(PlayAudio(b"\x55" * 170)).run()
        assert line.payloads == [b"\x55" * 160, b"\x55" * 10 + b"\xff" * 150]
        assert line.pacer.pushed_samples == 320

    def test_frame_that_is_not_full_waits_to_be_filled(self) -> None:
        """Speech that comes in pieces of 50 ms must not get silence between them."""
        line = Line(whole_frames=True, lead_ms=200)
        for piece in range(4):
            line.run(until=START + piece * 0.03).push(audio(50))
        assert b"".join(line.run().payloads) == b"\x55" * 1600

    def test_last_frame_stays_short_where_it_may(self) -> None:
        assert Line().push(PlayAudio(b"\x55" * 170)).run().sizes == [160, 10]

    def test_packets_are_never_filled_up(self) -> None:
        opus = AudioFormat(Encoding.OPUS, 48_000)
        packets = [PlayAudio(b"\x55" * 7, samples=480), PlayAudio(b"\x56" * 9, samples=960)]
        line = Line(audio_format=opus, whole_frames=True).push(*packets).run()
        assert line.commands == packets

    def test_empty_audio_is_no_audio(self) -> None:
        assert Line().push(PlayAudio(b"")).wake().commands == []


class TestOrder:
    def test_mark_leaves_with_the_last_audio_before_it(self) -> None:
        line = Line().push(audio(30), SetMark("a"), audio(30)).wake()
        kinds = [len(c.payload) if isinstance(c, PlayAudio) else c for c in line.commands]
        assert kinds == [160, 80, SetMark("a"), 160, 80]

    def test_mark_waits_for_audio_that_is_not_due(self) -> None:
        line = Line(lead_ms=60).push(audio(200), SetMark("a")).wake()
        assert SetMark("a") not in line.commands
        line.run()
        last_audio = line.left[-2]
        assert line.left[-1] == (last_audio[0], SetMark("a"))

    def test_mark_without_audio_leaves_at_once(self) -> None:
        line = Line().push(SetMark("a"))
        assert line.pacer.next_time() == 0.0
        assert line.wake().commands == [SetMark("a")]

    def test_mark_does_not_wait_for_audio_to_be_heard(self) -> None:
        line = Line().push(audio(60)).wake().push(SetMark("a"))
        assert line.wake().commands[-1] == SetMark("a")

    def test_digits_leave_after_the_audio_before_them(self) -> None:
        line = Line().push(audio(200), SendDtmf("1"), audio(20)).run()
        assert line.commands[-2] == SendDtmf("1")

    def test_hanging_up_waits_until_the_last_word_was_heard(self) -> None:
        line = Line().push(audio(500), HangUp()).run()
        assert line.left_at(HangUp) == pytest.approx(START + 0.5 + HANG_UP_MARGIN_S)

    def test_hanging_up_in_silence_happens_at_once(self) -> None:
        assert Line().push(HangUp()).wake().commands == [HangUp()]


class TestClear:
    def test_queued_audio_and_marks_go(self) -> None:
        line = Line().push(audio(500), SetMark("a")).wake()
        line.pacer.clear(now=line.now, at_provider=True)
        assert queued_samples(line.pacer) == 0
        assert sum(line.run().sizes) == 4 * FRAME
        assert SetMark("a") not in line.commands

    def test_digits_and_hanging_up_stay(self) -> None:
        line = Line().push(audio(500), SendDtmf("1"), HangUp())
        line.pacer.clear(now=line.now, at_provider=True)
        assert line.wake().commands == [SendDtmf("1"), HangUp()]

    def test_audio_after_it_leaves_at_once(self) -> None:
        line = Line().push(audio(500, b"\x01")).wake()
        line.pacer.clear(now=line.now, at_provider=True)
        line.left.clear()
        assert line.push(audio(500, b"\x02")).wake().payloads[0] == b"\x02" * FRAME

    def test_audio_after_it_waits_where_the_provider_plays_on(self) -> None:
        line = Line(lead_ms=60).push(audio(500)).wake()
        line.pacer.clear(now=line.now, at_provider=False)
        line.left.clear()
        assert line.push(audio(500)).wake().commands == []
        assert line.pacer.next_time() == pytest.approx(START + 0.02)

    def test_position_goes_on_where_sending_stopped(self) -> None:
        line = Line().push(audio(500)).wake()
        line.pacer.clear(now=line.now, at_provider=True)
        assert line.pacer.pushed_samples == 4 * FRAME


class TestHeard:
    def test_ear_follows_the_clock(self) -> None:
        line = Line(lead_ms=200).push(audio(1000)).run(until=START + 0.3)
        assert line.pacer.heard_samples(now=START + 0.3) == 2400

    def test_ear_stops_where_the_audio_does(self) -> None:
        line = Line(lead_ms=200).push(audio(100)).wake()
        assert line.pacer.heard_samples(now=START + 5) == 800

    def test_nothing_is_heard_before_it_is_sent(self) -> None:
        line = Line().push(audio(100))
        assert line.pacer.heard_samples(now=START) == 0

    def test_time_and_position_are_inverse(self) -> None:
        line = Line(lead_ms=200).push(audio(1000)).wake()
        time = line.pacer.heard_time(800)
        assert time == pytest.approx(START + 0.1)
        assert line.pacer.heard_samples(now=time) == 800


STEPS = st.lists(
    st.one_of(
        st.integers(0, 5000).map(lambda size: ("push", size)),
        st.integers(0, 400).map(lambda ms: ("wait", ms)),
        st.just(("mark", 0)),
        st.sampled_from([("clear", 0), ("clear", 1)]),
    ),
    max_size=40,
)


@given(STEPS, st.sampled_from([20, 60, 200, 1000]), st.sampled_from([20, 100, 1000]))
def test_any_script_keeps_bytes_order_and_lead(
    steps: list[tuple[str, int]], lead_ms: int, max_message_ms: int
) -> None:
    pacer = Pacer(PCMU, Pacing(lead_ms=lead_ms, max_message_ms=max_message_ms))
    queued: list[int | SetMark] = []  # one item a byte: what should leave, in order
    now, ends_at, pushed, heard = START, 0.0, 0, 0
    for step, amount in steps:
        match step:
            case "push":
                payload = bytes((pushed + n) % 251 for n in range(amount))
                pushed += amount
                queued += payload
                pacer.push(PlayAudio(payload))
            case "mark":
                queued.append(SetMark(f"{now}"))
                pacer.push(SetMark(f"{now}"))
            case "clear":
                queued.clear()
                pacer.clear(now=now, at_provider=bool(amount))
                ends_at = min(ends_at, now) if amount else ends_at
            case "wait":
                now += amount / 1000
        for command in pacer.take_due(now=now):
            if isinstance(command, PlayAudio):
                size = len(command.payload)
                assert 0 < size <= max(max_message_ms, 20) * 8
                assert queued[:size] == list(command.payload)
                del queued[:size]
                ends_at = max(ends_at, now) + size / 8000
            else:
                assert queued.pop(0) == command
        assert ends_at - now <= (lead_ms + 20) / 1000 + 1e-6
        assert queued_samples(pacer) == sum(isinstance(item, int) for item in queued)
        assert heard <= (heard := pacer.heard_samples(now=now))
        assert not queued or isinstance(queued[0], int)  # marks do not wait for a clock


class TestSkip:
    def test_whole_frames_go_from_the_front_and_marks_stay(self) -> None:
        line = Line(lead_ms=0).push(audio(50, b"a"), SetMark("m"), audio(50, b"b"))
        assert line.pacer.skip(70 * 8) == 60 * 8
        assert queued_samples(line.pacer) == 40 * 8
        assert line.pacer.take_due(now=START)[:2] == [SetMark("m"), audio(20, b"b")]

    def test_what_is_not_there_cannot_go(self) -> None:
        line = Line().push(audio(50))
        assert line.pacer.skip(8000) == 400
        assert line.pacer.skip(8000) == 0
        assert line.pacer.next_time() is None

    def test_packets_that_cannot_be_cut_stay_whole(self) -> None:
        packets = [PlayAudio(b"%d" % n, samples=960) for n in range(3)]
        line = Line(audio_format=AudioFormat(Encoding.OPUS, 48_000), lead_ms=0).push(*packets)
        assert line.pacer.skip(1919) == 960
        assert line.pacer.take_due(now=START) == [packets[1]]

    def test_frames_of_half_bytes_a_sample_are_cut_at_a_byte(self) -> None:
        line = Line(audio_format=AudioFormat(Encoding.G722, 16_000), lead_ms=0)
        line.push(PlayAudio(bytes(range(240))))
        assert line.pacer.skip(321) == 320
        assert line.pacer.take_due(now=START)[0] == PlayAudio(bytes(range(160, 240)))
