"""What an edge may say to Twilio and to the providers that copied it."""

from __future__ import annotations

import json

import pytest

from common.audio import AudioFormat
from ops.phone import twilio_frames
from ops.phone.dialect import AudioToPlay, Clear, Fault, MarkToEcho, Received, WsMessage
from tests.ops.phone.dialects.words import AUDIO, PAYLOAD

STREAM = "MZ" + "0" * 32


def read(message: WsMessage) -> Received:
    return twilio_frames.receive(message, stream_sid=STREAM, audio_format=AudioFormat.pcmu())


@pytest.mark.parametrize(
    ("fields", "received"),
    [
        ({"event": "media", "media": {"payload": PAYLOAD}}, AudioToPlay(AUDIO, 160)),
        ({"event": "mark", "mark": {"name": "a b"}}, MarkToEcho("a b")),
        ({"event": "clear"}, Clear()),
    ],
    ids=["media", "mark", "clear"],
)
def test_the_three_messages_of_a_twilio_like_edge(
    fields: dict[str, object], received: Received
) -> None:
    assert read(json.dumps({"streamSid": STREAM} | fields)) == received


MEDIA = {"event": "media", "streamSid": STREAM, "media": {"payload": PAYLOAD}}
MARK = {"event": "mark", "streamSid": STREAM, "mark": {"name": "m"}}
CLEAR = {"event": "clear", "streamSid": STREAM}

WRONG: dict[str, object] = {
    "no stream id": {"event": "clear"},
    "foreign stream id": CLEAR | {"streamSid": "MZ" + "9" * 32},
    "stream id of another type": CLEAR | {"streamSid": 1},
    "field too many on top": MEDIA | {"sequenceNumber": "1"},
    "field too many inside": MEDIA | {"media": {"payload": PAYLOAD, "track": "outbound"}},
    "clear with a body": CLEAR | {"clear": {}},
    "mark without a name": MARK | {"mark": {}},
    "mark with an empty name": MARK | {"mark": {"name": ""}},
    "mark with a number": MARK | {"mark": {"name": 7}},
    "media without payload": MEDIA | {"media": {}},
    "media with a number": MEDIA | {"media": {"payload": 7}},
    "media that is no object": MEDIA | {"media": PAYLOAD},
    "payload is not base64": MEDIA | {"media": {"payload": "!" + PAYLOAD[1:]}},
    "payload lost its padding": MEDIA | {"media": {"payload": "AAA"}},
    "payload in the URL alphabet": MEDIA | {"media": {"payload": "_-8="}},
    "payload is empty": MEDIA | {"media": {"payload": ""}},
    "event of the other direction": MEDIA | {"event": "start"},
    "unknown event": CLEAR | {"event": "hangup"},
    "no event": {"streamSid": STREAM},
    "event in capitals": CLEAR | {"event": "Clear"},
    "not an object": [CLEAR],
    "null": None,
}


@pytest.mark.parametrize("message", WRONG.values(), ids=WRONG)
def test_any_other_frame_is_a_fault(message: object) -> None:
    assert isinstance(read(json.dumps(message)), Fault)


def test_binary_on_a_text_protocol_is_a_fault() -> None:
    assert read(json.dumps(CLEAR).encode()) == Fault("a binary message on a text protocol")
