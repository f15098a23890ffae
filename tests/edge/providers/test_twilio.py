"""Twilio's frames as its documentation prints them, and everything that may come instead."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common.audio import AudioFormat
from common.commands import Answer, ClearPlayback, Command, HangUp, PlayAudio, SendDtmf, SetMark
from common.errors import UnsupportedError
from common.events import CallEnded, CallStarted, DtmfReceived, EndReason
from edge.adapter import Ignored, MarkEchoed, MediaReceived, NoOptions, Receipt, Violated
from edge.providers.twilio import TwilioAdapter

CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
START = (
    '{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"accountSid":"AC1",'
    '"streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":'
    '"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"FirstName":"Jane"}}}'
)
STARTED = CallStarted(
    provider="twilio",
    format=AudioFormat.pcmu(),
    provider_call_id="CA1",
    provider_stream_id="MZ1",
    metadata={
        "account_sid": "AC1",
        "tracks": ["inbound"],
        "custom_parameters": {"FirstName": "Jane"},
    },
)
STOP = (
    '{"event":"stop","streamSid":"MZ1","sequenceNumber":"5",'
    '"stop":{"accountSid":"AC1","callSid":"CA1"}}'
)

# What a message means once the stream MZ1 is open.
RECEIVED: list[tuple[str, Receipt]] = [
    (
        '{"event":"media","sequenceNumber":"3","streamSid":"MZ1","media":{"track":"inbound",'
        '"chunk":"1","timestamp":"5","payload":"/38A"}}',
        MediaReceived(b"\xff\x7f\x00", number=1, sequence=3),
    ),
    (
        '{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5",'
        '"dtmf":{"track":"inbound_track","digit":"#"}}',
        DtmfReceived("#"),
    ),
    (
        '{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"my label"}}',
        MarkEchoed("my label"),
    ),
    (STOP, CallEnded(EndReason.CALLER_HUNG_UP)),
]
# What a command is in Twilio's words, and what it would mean if it came back.
SENT: list[tuple[Command, str, Receipt]] = [
    (
        PlayAudio(b"\xff\x7f\x00"),
        '{"event":"media","streamSid":"MZ1","media":{"payload":"/38A"}}',
        MediaReceived(b"\xff\x7f\x00"),
    ),
    (
        SetMark("my label"),
        '{"event":"mark","streamSid":"MZ1","mark":{"name":"my label"}}',
        MarkEchoed("my label"),
    ),
    (ClearPlayback(), '{"event":"clear","streamSid":"MZ1"}', Ignored("unknown_event")),
]


def media(payload: str = "/w==", **fields: Any) -> str:
    frame = {"event": "media", "streamSid": "MZ1", "media": {"payload": payload}, **fields}
    return msgspec.json.encode(frame).decode()


@pytest.fixture
def adapter() -> TwilioAdapter:
    adapter = TwilioAdapter(NoOptions())
    assert adapter.receive(START) == [STARTED]
    return adapter


@pytest.mark.parametrize(("message", "receipt"), RECEIVED)
def test_message_is_understood(adapter: TwilioAdapter, message: str, receipt: Receipt) -> None:
    assert adapter.receive(message) == [receipt]


@pytest.mark.parametrize(("command", "message", "_"), SENT)
def test_command_is_put_into_words(
    adapter: TwilioAdapter, command: Command, message: str, _: Receipt
) -> None:
    adapter.send(command)
    assert adapter.messages_to_send() == [message]
    assert adapter.messages_to_send() == []


@pytest.mark.parametrize(("_", "message", "receipt"), SENT)
def test_words_of_ours_mean_the_same_when_they_come_back(
    adapter: TwilioAdapter, _: Command, message: str, receipt: Receipt
) -> None:
    assert adapter.receive(message) == [receipt]


def test_connected_says_nothing_yet() -> None:
    assert TwilioAdapter(NoOptions()).receive(CONNECTED) == []


@pytest.mark.parametrize("number", ["3", 3])
def test_number_may_be_text_or_not(adapter: TwilioAdapter, number: object) -> None:
    body = {"payload": "/w==", "track": "outbound", "chunk": number, "timestamp": number}
    message = media(sequenceNumber=number, media=body)
    assert adapter.receive(message) == [MediaReceived(b"\xff", 3, 3, "outbound")]


@pytest.mark.parametrize("number", [-1, "-1", 2**64, 2**80, str(2**80), 1.5, "x", True])
@pytest.mark.parametrize("field", ["sequenceNumber", "media"])
def test_number_out_of_range_is_malformed(
    adapter: TwilioAdapter, field: str, number: object
) -> None:
    value = number if field == "sequenceNumber" else {"payload": "/w==", "chunk": number}
    frame: dict[str, Any] = {field: value}
    assert adapter.receive(media(**frame)) == [Ignored("malformed")]


def test_start_may_name_its_stream_inside_only() -> None:
    (started,) = TwilioAdapter(NoOptions()).receive('{"event":"start","start":{"streamSid":"MZ1"}}')
    assert isinstance(started, CallStarted)
    assert (started.provider_stream_id, started.metadata) == ("MZ1", {})


def test_stream_may_be_named_in_the_other_spelling() -> None:
    adapter = TwilioAdapter(NoOptions())
    (started,) = adapter.receive('{"event":"start","stream_sid":"MZ9","start":{}}')
    assert isinstance(started, CallStarted)
    assert started.provider_stream_id == "MZ9"
    media = '{"event":"media","stream_sid":"MZ9","media":{"payload":"/w=="}}'
    assert adapter.receive(media) == [MediaReceived(b"\xff")]


def test_start_without_an_id_is_ignored() -> None:
    assert TwilioAdapter(NoOptions()).receive('{"event":"start","start":{}}') == [Ignored("no_id")]


@pytest.mark.parametrize(
    "described", ['"audio/ogg","sampleRate":8000', '"audio/x-mulaw","sampleRate":1']
)
def test_start_with_audio_that_nobody_can_read_is_a_violation(described: str) -> None:
    start = START.replace('"audio/x-mulaw","sampleRate":8000', described)
    assert TwilioAdapter(NoOptions()).receive(start) == [Violated(1003, "unsupported media format")]


def test_megabyte_of_audio_is_audio(adapter: TwilioAdapter) -> None:
    assert adapter.receive(media("/38A" * 350_000)) == [MediaReceived(b"\xff\x7f\x00" * 350_000)]


@pytest.mark.parametrize("digit", ["12", "x", ""])
def test_key_that_no_telephone_has_is_ignored(adapter: TwilioAdapter, digit: str) -> None:
    frame = {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": digit}}
    assert adapter.receive(msgspec.json.encode(frame).decode()) == [Ignored("malformed")]


def test_twilio_cannot_press_keys(adapter: TwilioAdapter) -> None:
    with pytest.raises(UnsupportedError):
        adapter.send(SendDtmf("1"))


def test_twilio_has_no_word_for_answering_and_hanging_up(adapter: TwilioAdapter) -> None:
    adapter.send(Answer())
    adapter.send(HangUp())
    assert adapter.messages_to_send() == []
