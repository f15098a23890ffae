from __future__ import annotations

import pytest

from common.audio import AudioFormat
from common.commands import PlayAudio
from common.events import CallStarted
from edge.adapter import (
    FirstFrame,
    Ignored,
    Message,
    Ordering,
    Receipt,
    Recognition,
    Traits,
    Violated,
)
from edge.detection import Candidate, DetectingAdapter
from edge.entrances import DETECT, entrances

GREETING = '{"event":"hello"}'


class Speaker:
    """Answers each message with a receipt that names it."""

    ordering = Ordering(3, 30)
    traits = Traits(frame_ms=30)

    def __init__(self) -> None:
        self._to_send: list[Message] = []

    def receive(self, message: Message) -> list[Receipt]:
        return [Ignored(str(message))]

    def send(self, command: object) -> None:
        self._to_send.append(type(command).__name__)

    def messages_to_send(self) -> list[Message]:
        messages, self._to_send = self._to_send, []
        return messages


def candidate(name: str) -> Candidate:
    """Knows its own start, and is not sure about a greeting."""

    def recognise(frame: FirstFrame) -> Recognition:
        if frame.get("event") == "hello":
            return Recognition.UNSURE
        return Recognition.YES if frame.get("event") == name else Recognition.NO

    return Candidate(recognise, Speaker)


@pytest.fixture
def detecting() -> DetectingAdapter:
    return DetectingAdapter({name: candidate(name) for name in ("a", "b")})


def test_frames_before_the_decision_are_handed_on_in_order(detecting: DetectingAdapter) -> None:
    assert detecting.receive(GREETING) == []
    start = '{"event":"b"}'
    assert detecting.receive(start) == [Ignored(GREETING), Ignored(start)]


def test_after_the_decision_everything_is_the_providers(detecting: DetectingAdapter) -> None:
    detecting.receive('{"event":"a"}')
    assert detecting.receive("not even JSON") == [Ignored("not even JSON")]
    assert detecting.receive(b"audio") == [Ignored("b'audio'")]
    detecting.send(PlayAudio(b""))
    assert detecting.messages_to_send() == ["PlayAudio"]
    assert (detecting.ordering, detecting.traits) == (Speaker.ordering, Speaker.traits)


def test_nothing_is_said_before_the_decision(detecting: DetectingAdapter) -> None:
    detecting.receive(GREETING)
    detecting.send(PlayAudio(b""))
    assert detecting.messages_to_send() == []


def test_frame_that_is_nobodys_is_a_violation(detecting: DetectingAdapter) -> None:
    assert detecting.receive('{"event":"c"}') == [Violated(1008, "unknown provider")]


def test_binary_message_first_is_a_violation(detecting: DetectingAdapter) -> None:
    assert detecting.receive(b"\0") == [Violated(1003, "binary message before the call")]


@pytest.mark.parametrize("text", ["", "[]", "1", "{", '{"x":NaN}', "[" * 100_000, '"\ud800"'])
def test_text_that_is_no_object_is_passed_over(detecting: DetectingAdapter, text: str) -> None:
    assert detecting.receive(text) == [Ignored("malformed")]
    assert detecting.receive('{"event":"a"}') == [Ignored('{"event":"a"}')]


def test_greetings_without_an_end_are_a_violation(detecting: DetectingAdapter) -> None:
    answers = [detecting.receive(GREETING) for _ in range(8)]
    assert answers == [[]] * 7 + [[Violated(1008, "no start")]]


def test_greeting_without_an_end_is_a_violation(detecting: DetectingAdapter) -> None:
    assert detecting.receive(GREETING.ljust(16_385)) == [Violated(1008, "no start")]


# What the first frames say, by the providers' own documents.
TWILIO_START = (
    '{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"streamSid":"MZ1"}}'
)
MESMER_START = '{"event":"start","start":{"streamSid":"s1"}}'
TELNYX_START = '{"event":"start","stream_id":"s1","start":{"call_control_id":"c1"}}'
WAVIX_START = '{"event":"start","stream_id":"s1","call_id":"c1"}'


@pytest.mark.parametrize(
    ("provider", "frames"),
    [
        ("twilio", ['{"event":"connected","protocol":"Call","version":"1.0.0"}', TWILIO_START]),
        ("twilio", [TWILIO_START]),
        ("twilio", ['{"event":"connected"}', TWILIO_START]),
        ("mesmer", ['{"event":"connected"}', MESMER_START]),
        ("mesmer", [MESMER_START]),
        ("mesmer", ['{"event":"connected","protocol":"Call"}', MESMER_START]),
        ("telnyx", ['{"event":"connected","version":"1.0.0"}', TELNYX_START]),
        ("telnyx", ['{"event":"connected"}', TELNYX_START]),
        ("telnyx", [TELNYX_START]),
        ("wavix", ['{"event":"connected","event_time":"2024-01-15T10:30:00Z"}', WAVIX_START]),
        ("wavix", [WAVIX_START]),
        ("sunvone", ['{"event":"incoming_call","callerId":"1","sessionId":"s1"}']),
    ],
)
def test_provider_is_known_by_its_first_frames(provider: str, frames: list[str]) -> None:
    adapter = entrances({})[DETECT].open_adapter()
    *before, receipts = [adapter.receive(frame) for frame in frames]
    (started,) = receipts
    assert isinstance(started, CallStarted)
    assert started.provider == provider
    assert not any(before)


@pytest.mark.parametrize(
    "frame",
    [
        '{"event":"websocket:connected","content-type":"audio/l16;rate=16000"}',
        '{"event":"start","stream_sid":"s1","start":{"stream_sid":"s1"}}',
        '{"event":"start","start":{"streamId":"s1","callId":"c1"}}',
        '{"event":"MEDIA_START"}',
        '{"version":"2","type":"open"}',
        '{"kind":"AudioMetadata"}',
        "{}",
    ],
)
def test_providers_that_are_not_here_yet_are_nobody(frame: str) -> None:
    adapter = entrances({})[DETECT].open_adapter()
    assert adapter.receive(frame) == [Violated(1008, "unknown provider")]


def test_settings_of_the_provider_hold_for_those_who_are_detected() -> None:
    adapter = entrances({"TRUNKLINE_WAVIX_FORMAT": "PCMU/8000"})[DETECT].open_adapter()
    (started,) = adapter.receive(WAVIX_START)
    assert isinstance(started, CallStarted)
    assert started.format == AudioFormat.pcmu()
