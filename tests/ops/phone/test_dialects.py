"""What each dialect says, word for word, and what it makes of answers, good and bad."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.phone.dialect import (
    AudioToPlay,
    Clear,
    Dialect,
    Fault,
    Manners,
    MarkToEcho,
    Received,
    WsMessage,
)
from ops.phone.dialects import known_dialects
from ops.phone.dialects.mesmer import MesmerManners
from ops.phone.dialects.twilio import TwilioManners

AUDIO = b"\x00\x7f\x80\xff" * 40
PAYLOAD = base64.b64encode(AUDIO).decode()
STREAM = "MZ" + "0" * 32
CALL = "CA" + "1" * 32
ACCOUNT = "AC" + "2" * 32

DIALECTS = known_dialects()
EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


def twilio() -> TwilioManners:
    return TwilioManners(stream_sid=STREAM, call_sid=CALL, account_sid=ACCOUNT)


def mesmer() -> MesmerManners:
    return MesmerManners(stream_sid=STREAM, call_sid=CALL, account_sid=ACCOUNT)


TWIN = pytest.mark.parametrize("manners", [twilio(), mesmer()], ids=["twilio", "mesmer"])


def said(*parts: list[WsMessage]) -> list[Any]:
    return [json.loads(message) for part in parts for message in part]


def test_the_folder_is_the_list() -> None:
    assert {"mesmer", "twilio"} <= set(DIALECTS)
    assert list(DIALECTS) == sorted(DIALECTS)


@EVERY_DIALECT
def test_every_call_has_ids_of_its_own(dialect: Dialect) -> None:
    assert dialect.open_call().open() != dialect.open_call().open()


@EVERY_DIALECT
@given(message=st.text() | st.binary())
def test_any_message_becomes_a_value(dialect: Dialect, message: WsMessage) -> None:
    assert isinstance(dialect.open_call().receive(message), Received)


@EVERY_DIALECT
def test_keys_are_said_only_where_the_dialect_has_words_for_them(dialect: Dialect) -> None:
    manners = dialect.open_call()
    manners.open()
    assert bool(manners.dtmf("1")) is dialect.has_dtmf


def test_twilio_says_what_its_documentation_shows() -> None:
    call = twilio()
    messages = said(
        call.open(),
        call.media(AUDIO),
        call.media(AUDIO),
        call.dtmf("#"),
        call.mark_echo("m", is_cleared=True),
        call.stop(),
    )
    assert messages == [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": STREAM,
            "start": {
                "accountSid": ACCOUNT,
                "streamSid": STREAM,
                "callSid": CALL,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {},
            },
        },
        {
            "event": "media",
            "sequenceNumber": "2",
            "streamSid": STREAM,
            "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": PAYLOAD},
        },
        {
            "event": "media",
            "sequenceNumber": "3",
            "streamSid": STREAM,
            "media": {"track": "inbound", "chunk": "2", "timestamp": "20", "payload": PAYLOAD},
        },
        {
            "event": "dtmf",
            "sequenceNumber": "4",
            "streamSid": STREAM,
            "dtmf": {"track": "inbound_track", "digit": "#"},
        },
        {"event": "mark", "sequenceNumber": "5", "streamSid": STREAM, "mark": {"name": "m"}},
        {
            "event": "stop",
            "sequenceNumber": "6",
            "streamSid": STREAM,
            "stop": {"accountSid": ACCOUNT, "callSid": CALL},
        },
    ]


def test_twilio_ids_look_like_its_own() -> None:
    start = said(DIALECTS["twilio"].open_call().open())[1]["start"]
    assert re.fullmatch("MZ[0-9a-f]{32}", start["streamSid"])
    assert re.fullmatch("CA[0-9a-f]{32}", start["callSid"])
    assert re.fullmatch("AC[0-9a-f]{32}", start["accountSid"])


def test_mesmer_says_what_its_documentation_shows() -> None:
    call = mesmer()
    ids = {"callSid": CALL, "streamSid": STREAM, "accountSid": ACCOUNT}
    messages = said(
        call.open(),
        call.media(AUDIO),
        call.media(AUDIO),
        call.mark_echo("m", is_cleared=False),
        call.stop(),
    )
    media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    assert messages == [
        {"event": "connected"},
        {"event": "start", "start": {**ids, "mediaFormat": media_format}},
        {"event": "media", "streamSid": STREAM, "media": {"timestamp": 0, "payload": PAYLOAD}},
        {"event": "media", "streamSid": STREAM, "media": {"timestamp": 20, "payload": PAYLOAD}},
        {"event": "mark", "streamSid": STREAM, "mark": {"name": "m"}},
        {"event": "stop", "stop": ids},
    ]


@TWIN
@pytest.mark.parametrize(
    ("fields", "received"),
    [
        ({"event": "media", "media": {"payload": PAYLOAD}}, AudioToPlay(AUDIO)),
        ({"event": "mark", "mark": {"name": "a b"}}, MarkToEcho("a b")),
        ({"event": "clear"}, Clear()),
    ],
    ids=["media", "mark", "clear"],
)
def test_the_three_messages_of_a_twilio_like_edge(
    manners: Manners, fields: dict[str, object], received: Received
) -> None:
    assert manners.receive(json.dumps({"streamSid": STREAM} | fields)) == received


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


@TWIN
@pytest.mark.parametrize("message", WRONG.values(), ids=WRONG)
def test_any_other_frame_is_a_fault(manners: Manners, message: object) -> None:
    assert isinstance(manners.receive(json.dumps(message)), Fault)


@TWIN
def test_binary_on_a_text_protocol_is_a_fault(manners: Manners) -> None:
    assert manners.receive(json.dumps(CLEAR).encode()) == Fault(
        "a binary message on a text protocol"
    )
