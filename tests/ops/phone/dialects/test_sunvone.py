from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ops.phone.dialect import Answer, AudioToPlay, Clear, Fault, HangUp, KeyToPress, Received
from ops.phone.dialects.sunvone import SunvoneManners
from tests.ops.phone.dialects.words import said

AUDIO = b"\x01\x00" * 160


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sunvone(clock: Clock, *, knows_interrupt: bool = False) -> SunvoneManners:
    return SunvoneManners(session_id="8f14e45f", knows_interrupt=knows_interrupt, now=clock)


def answered(clock: Clock, *, knows_interrupt: bool = False) -> SunvoneManners:
    call = sunvone(clock, knows_interrupt=knows_interrupt)
    call.open()
    assert call.receive('{"event":"answer"}') == Answer()
    return call


RECORD = {
    "event": "cdr",
    "sessionId": "8f14e45f",
    "source": "+4930901820",
    "destination": "+49301234567",
    "startTime": "2026-01-15T10:30:00.000Z",
    "answerTime": "2026-01-15T10:30:02.000Z",
    "endTime": "2026-01-15T10:30:14.500Z",
    "duration": 14.5,
    "billableSeconds": 12,
    "disposition": "ANSWERED",
    "hangupBy": "caller",
    "hangupCauseCode": "16",
    "hangupCauseText": "NORMAL_CLEARING",
}


def test_sunvone_says_what_its_documentation_shows(clock: Clock) -> None:
    call = sunvone(clock)
    assert said(call.open()) == [
        {
            "event": "incoming_call",
            "callerId": "+4930901820",
            "didNumber": "+49301234567",
            "sessionId": "8f14e45f",
        }
    ]
    clock.advance(2)
    assert call.receive('{"event":"answer"}') == Answer()
    assert call.media(AUDIO) == [AUDIO]
    assert said(call.dtmf("A")) == [{"event": "dtmf", "digit": "A"}]
    assert call.mark_echo("m", is_cleared=False) == []
    clock.advance(12.5)
    assert said(call.stop()) == [{"event": "hangup"}, RECORD]


def test_hang_up_of_the_edge_is_followed_by_the_record_alone(clock: Clock) -> None:
    call = answered(clock)
    assert call.receive('{"event":"hangup"}') == HangUp()
    (record,) = said(call.stop())
    assert record["event"] == "cdr"
    assert record["hangupBy"] == "callee"


def test_call_that_was_never_answered_has_a_record_too(clock: Clock) -> None:
    call = sunvone(clock)
    call.open()
    clock.advance(3)
    _, record = said(call.stop())
    assert record["answerTime"] is None
    assert (record["duration"], record["billableSeconds"]) == (3, 0)
    assert record["disposition"] == "NO ANSWER"


@pytest.mark.parametrize(
    ("message", "received"),
    [
        (AUDIO, AudioToPlay(AUDIO, 160)),
        ('{"event":"answer"}', Answer()),
        ('{"event":"dtmf","digit":"*","duration":1000}', KeyToPress("*")),
        ('{"event":"hangup"}', HangUp()),
    ],
    ids=["audio", "answer", "dtmf", "hangup"],
)
def test_what_an_edge_may_say(clock: Clock, message: str | bytes, received: Received) -> None:
    assert answered(clock).receive(message) == received


def test_interrupt_is_known_to_the_newer_version_only(clock: Clock) -> None:
    fault = answered(clock).receive('{"event":"interrupt"}')
    assert fault == Fault("`interrupt`, which this version of the protocol does not know")
    newer = answered(clock, knows_interrupt=True)
    assert newer.receive('{"event":"interrupt"}') == Clear()


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (AUDIO, "audio"),
        ('{"event":"dtmf","digit":"1","duration":100}', "`dtmf`"),
        ('{"event":"interrupt"}', "`interrupt`"),
    ],
)
def test_nothing_but_a_hang_up_may_come_before_the_answer(
    clock: Clock, message: str | bytes, what: str
) -> None:
    call = sunvone(clock, knows_interrupt=True)
    call.open()
    assert call.receive(message) == Fault(f"{what} before the answer")
    assert call.receive('{"event":"hangup"}') == HangUp()


WRONG: dict[str, tuple[object, str]] = {
    "answer with a field": ({"event": "answer", "sessionId": "8f14e45f"}, "`sessionId`"),
    "dtmf of 1001 ms": ({"event": "dtmf", "digit": "1", "duration": 1001}, "<= 1000"),
    "dtmf of 0 ms": ({"event": "dtmf", "digit": "1", "duration": 0}, ">= 1"),
    "dtmf of half ms": ({"event": "dtmf", "digit": "1", "duration": 0.5}, "Expected `int`"),
    "dtmf without duration": ({"event": "dtmf", "digit": "1"}, "field `duration`"),
    "letter key": ({"event": "dtmf", "digit": "A", "duration": 100}, "matching regex"),
    "two keys": ({"event": "dtmf", "digit": "12", "duration": 100}, "matching regex"),
    "key and newline": ({"event": "dtmf", "digit": "1\n", "duration": 100}, "matching regex"),
    "hangup with a reason": ({"event": "hangup", "reason": "x"}, "`reason`"),
    "mark": ({"event": "mark", "mark": {"name": "m"}}, "'mark'"),
    "media": ({"event": "media", "media": {"payload": ""}}, "'media'"),
}


@pytest.mark.parametrize(("message", "words"), WRONG.values(), ids=WRONG)
def test_any_other_message_is_a_fault(clock: Clock, message: object, words: str) -> None:
    fault = answered(clock).receive(json.dumps(message))
    assert isinstance(fault, Fault)
    assert words in fault.text


def test_half_a_sample_is_a_fault(clock: Clock) -> None:
    assert isinstance(answered(clock).receive(AUDIO + b"\x01"), Fault)
