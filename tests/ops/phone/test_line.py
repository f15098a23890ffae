from __future__ import annotations

import json
from base64 import b64decode

import pytest

from ops.phone.dialect import WsMessage
from ops.phone.dialects import known_dialects
from ops.phone.line import ECHO_S, LINGER_S, QUIET_S, RING_S, Ending, Line, Script
from ops.phone.playout import MarkEnd
from tests.ops.phone.dialect_for_tests import RINGING

TWILIO = known_dialects()["twilio"]
TELNYX = known_dialects()["telnyx"]
SILENT_FIRST = RINGING._replace(silent_s=0.5)
CHUNKS = [bytes([number]) * 160 for number in range(50)]  # one second
T = 500.0


class Rig:
    """A line whose far end answers by hand and whose clock is turned by hand."""

    def __init__(self, script: Script) -> None:
        self.line = Line(TWILIO, script)
        opening = self.line.open(now=T)
        self.stream_sid = json.loads(str(opening[1]))["streamSid"]

    def at(self, offset_s: float) -> list[str]:
        """The events sent when asked at this time."""
        return events(self.line.messages_to_send(now=T + offset_s))

    def hear(self, offset_s: float, **fields: object) -> None:
        message = json.dumps({"streamSid": self.stream_sid} | fields)
        self.line.receive(message, now=T + offset_s)

    def play(self, offset_s: float, *, frames: int = 1) -> None:
        payload = "AAAA" * 53 + "AA=="
        for _ in range(frames):
            self.hear(offset_s, event="media", media={"payload": payload})

    def run_to_the_end(self) -> float:
        """When the line was over, in seconds from its start, if it is asked whenever it wants."""
        now = T
        while not self.line.is_over:
            now = max(now, self.line.next_time())
            self.line.messages_to_send(now=now)
        return now - T


def events(messages: list[WsMessage]) -> list[str]:
    return [json.loads(str(message))["event"] for message in messages]


def test_chunks_leave_on_absolute_deadlines() -> None:
    rig = Rig(Script(CHUNKS))
    assert rig.at(0) == ["media"]
    assert rig.at(0.0199) == []
    assert rig.at(0.0201) == ["media"]
    assert rig.line.next_time() == pytest.approx(T + 0.040)


def test_late_wake_up_is_made_up_for_and_shifts_nothing() -> None:
    rig = Rig(Script(CHUNKS))
    rig.at(0)
    assert rig.at(0.1001) == ["media"] * 5
    assert rig.line.next_time() == pytest.approx(T + 0.120)


def test_keys_are_pressed_in_the_middle_of_the_speech() -> None:
    rig = Rig(Script(CHUNKS, digits="1#"))
    assert "dtmf" not in rig.at(0.499)
    assert rig.at(0.5001) == ["media", "dtmf"]
    assert rig.at(0.7001).count("dtmf") == 1
    assert "dtmf" not in rig.at(0.99)


def test_keys_outlast_short_speech() -> None:
    rig = Rig(Script(CHUNKS[:1], digits="12"))
    assert rig.run_to_the_end() == pytest.approx(0.7 + QUIET_S)


def test_silent_far_end_is_left_after_the_quiet() -> None:
    rig = Rig(Script(CHUNKS))
    assert rig.run_to_the_end() == pytest.approx(0.98 + QUIET_S)
    assert rig.line.record.ending is Ending.COMPLETED


def test_quiet_begins_with_the_last_that_arrives() -> None:
    rig = Rig(Script(CHUNKS[:1]))
    rig.at(0)
    rig.play(0.5)
    assert rig.line.next_time() == pytest.approx(T + 0.5 + QUIET_S)


def test_line_stays_until_everything_has_been_heard() -> None:
    rig = Rig(Script(CHUNKS[:1]))
    rig.at(0)
    rig.play(0.1, frames=100)
    rig.hear(0.1, event="mark", mark={"name": "end"})
    assert rig.run_to_the_end() == pytest.approx(2.1)
    assert [mark.end for mark in rig.line.record.playout.marks] == [MarkEnd.PLAYED]


def test_endless_far_end_is_left_in_the_end() -> None:
    rig = Rig(Script(CHUNKS[:1]))
    rig.play(0, frames=1000)
    assert rig.run_to_the_end() == pytest.approx(LINGER_S)


def test_who_expects_an_echo_waits_for_all_of_it() -> None:
    rig = Rig(Script(CHUNKS[:2], expects_echo=True))
    rig.at(0.021)
    rig.play(0.03)
    assert rig.line.next_time() == pytest.approx(T + 0.021 + ECHO_S)
    rig.play(2.0)
    assert rig.line.next_time() == pytest.approx(T + 2.0 + QUIET_S)


def test_mark_is_echoed_after_the_audio_before_it() -> None:
    rig = Rig(Script(CHUNKS[:1]))
    rig.at(0)
    rig.play(0.1, frames=2)
    rig.hear(0.1, event="mark", mark={"name": "a"})
    assert rig.at(0.1399) == []
    assert rig.line.next_time() == pytest.approx(T + 0.140)
    assert rig.at(0.1401) == ["mark"]
    assert rig.at(0.2) == []


def test_clear_returns_the_marks_at_once() -> None:
    rig = Rig(Script(CHUNKS[:1]))
    rig.at(0)
    rig.play(0.1, frames=50)
    for name in "ab":
        rig.hear(0.1, event="mark", mark={"name": name})
    rig.hear(0.2, event="clear")
    assert rig.at(0.2) == ["mark", "mark"]
    assert rig.line.record.cleared_at == [T + 0.2]


def test_stop_is_the_last_word() -> None:
    rig = Rig(Script(CHUNKS[:1]))
    rig.at(0)
    assert rig.at(QUIET_S + 0.001) == ["stop"]
    assert rig.line.is_over


def test_hanging_up_says_stop_at_once() -> None:
    rig = Rig(Script(CHUNKS))
    rig.at(0)
    rig.line.hang_up(Ending.INTERRUPTED)
    assert rig.line.next_time() < T
    assert rig.at(0.001) == ["stop"]
    assert rig.line.record.ending is Ending.INTERRUPTED


def test_fault_is_recorded_and_the_call_goes_on() -> None:
    rig = Rig(Script(CHUNKS))
    rig.hear(0, event="nonsense")
    rig.hear(0, event="nonsense")
    assert rig.line.record.faults.total() == 2
    assert rig.at(0.0201) == ["media", "media"]


def test_no_audio_before_the_answer() -> None:
    line = Line(RINGING, Script([b"\0" * 640] * 2))
    line.open(now=T)
    assert line.messages_to_send(now=T + 1) == []
    line.receive('{"event":"answer"}', now=T + 1)
    assert line.messages_to_send(now=T + 1) == [b"\0" * 640]
    assert line.next_time() == pytest.approx(T + 1.040)
    line.receive('{"event":"answer"}', now=T + 1.01)  # a second answer changes nothing
    assert line.next_time() == pytest.approx(T + 1.040)


def test_audio_while_it_rings_is_a_fault() -> None:
    line = Line(RINGING, Script([b"\0" * 640]))
    line.open(now=T)
    line.receive(b"\0\0", now=T)
    assert list(line.record.faults) == ["audio before the answer"]


def test_call_that_nobody_answers_ends_and_did_not_behave() -> None:
    line = Line(RINGING, Script([b"\0" * 640]))
    line.open(now=T)
    assert line.next_time() == T + RING_S
    assert line.messages_to_send(now=T + RING_S) == ['{"event": "hangup"}', '{"event": "cdr"}']
    assert line.record.ending is Ending.UNANSWERED
    assert line.record.faults


def test_hang_up_in_the_words_of_the_protocol() -> None:
    line = Line(RINGING, Script([b"\0" * 640] * 9))
    line.open(now=T)
    line.receive('{"event":"answer"}', now=T)
    line.receive('{"event":"hangup"}', now=T + 0.01)
    line.messages_to_send(now=T + 0.01)
    assert line.is_over
    assert line.record.ending is Ending.HUNG_UP
    assert not line.record.faults


def test_silence_before_the_first_word() -> None:
    line = Line(SILENT_FIRST, Script([b"\0" * 640]))
    assert line.open(now=T) == []
    assert line.next_time() == T + 0.5
    assert line.messages_to_send(now=T + 0.4) == []
    assert line.messages_to_send(now=T + 0.5) == ['{"event": "incoming_call"}']
    assert line.next_time() == T + 0.5 + RING_S
    line.receive('{"event":"answer"}', now=T + 1)
    assert line.messages_to_send(now=T + 1) == [b"\0" * 640]


def test_hanging_up_before_the_first_word_says_nothing() -> None:
    line = Line(SILENT_FIRST, Script([b"\0" * 640]))
    line.open(now=T)
    line.hang_up(Ending.INTERRUPTED)
    assert line.messages_to_send(now=T + 0.1) == []
    assert line.is_over
    assert not line.record.faults


def test_provider_replies_to_what_breaks_its_protocol() -> None:
    line = Line(TELNYX, Script([b"\xff" * 160]))
    line.open(now=T)
    line.messages_to_send(now=T)
    line.receive('{"event":"media","media":{"payload":"~~~~"}}', now=T + 0.01)
    assert line.next_time() == T + 0.01
    assert events(line.messages_to_send(now=T + 0.01)) == ["error"]
    assert line.record.faults.total() == 1


def shuffled(*, seconds: float, wakes_ms: int) -> tuple[Line, list[tuple[int, float, bytes]]]:
    """A line at its end, and the chunk, time and audio of every message, as they left."""
    count = round(seconds * 50)
    chunks = [bytes([number % 256]) * 160 for number in range(count)]
    line = Line(TELNYX, Script(chunks, shuffle_seed="1/1"))
    line.open(now=T)
    left: list[tuple[int, float, bytes]] = []
    for step in range(round((seconds + 2) * 1000 / wakes_ms)):
        now = T + step * wakes_ms / 1000
        for message in line.messages_to_send(now=now):
            fields = json.loads(message)
            if fields["event"] == "media":
                media = fields["media"]
                left.append((int(media["chunk"]), now - T, b64decode(media["payload"])))
    return line, left


@pytest.mark.parametrize("wakes_ms", [5, 33])
def test_shuffled_chunks_leave_late_but_all_of_them_do(wakes_ms: int) -> None:
    line, left = shuffled(seconds=4, wakes_ms=wakes_ms)
    chunks = [chunk for chunk, _, _ in left]
    assert set(chunks) == set(range(1, 201))
    assert chunks != sorted(chunks)
    assert 200 < len(chunks) < 230
    assert all(audio == bytes([chunk - 1]) * 160 for chunk, _, audio in left)
    for chunk, at, _ in left:
        assert -0.0001 <= at - (chunk - 1) * 0.02 <= 0.08 + wakes_ms / 1000
    assert line.is_over
    first_at = {chunk: at for chunk, at, _ in reversed(left)}
    assert line.record.sent_at == pytest.approx(
        [T + first_at[chunk] for chunk in range(1, 201)], abs=wakes_ms / 1000
    )


def test_what_is_still_on_its_way_leaves_before_the_goodbye() -> None:
    line = Line(TELNYX, Script([b"\xff" * 160] * 20, shuffle_seed="1/1"))
    line.open(now=T)
    said = events(line.messages_to_send(now=T + 0.2))
    line.hang_up(Ending.INTERRUPTED)
    said += events(line.messages_to_send(now=T + 0.2))
    assert len(line.record.sent_at) == 11
    assert said.count("media") >= 11
    assert said[-1] == "stop"
