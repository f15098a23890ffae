from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from ops.phone.dialect import AudioToPlay, Clear, Fault, MarkToEcho, Received
from ops.phone.dialects.wavix import DIALECT, WavixManners
from tests.ops.phone.dialects.words import said

AUDIO = bytes(range(240)) * 4
PAYLOAD = base64.b64encode(AUDIO).decode()
TIME = "2024-01-15T10:30:00Z"


def wavix() -> WavixManners:
    at = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
    return WavixManners(call_id="abc-123", stream_id="str-456", now=lambda: at)


def test_wavix_says_what_its_documentation_shows() -> None:
    call = wavix()
    messages = said(
        call.open(),
        call.media(AUDIO),
        call.media(AUDIO),
        call.mark_echo("end-of-greeting", is_cleared=False),
        call.stop(),
    )
    top = {"event_time": TIME, "call_id": "abc-123", "stream_id": "str-456"}
    media = {"payload": PAYLOAD, "track": "inbound"}
    assert messages == [
        {"event": "connected", "event_time": TIME},
        {"event": "start", **top, "sequence_number": 1, "stream_type": "twoway", "channel": "both"},
        {
            "event": "media",
            **top,
            "sequence_number": 2,
            "media": {**media, "timestamp": 160, "chunk": 1},
        },
        {
            "event": "media",
            **top,
            "sequence_number": 3,
            "media": {**media, "timestamp": 320, "chunk": 2},
        },
        {"event": "mark", **top, "sequence_number": 4, "mark": {"name": "end-of-greeting"}},
        {"event": "stop", **top, "sequence_number": 5},
    ]


def test_a_frame_is_20_ms_at_24_khz() -> None:
    samples = DIALECT.format.samples_for_ms(DIALECT.chunk_ms)
    assert DIALECT.format.bytes_for(samples) == 960


@pytest.mark.parametrize(
    ("fields", "received"),
    [
        ({"event": "media", "media": {"payload": PAYLOAD}}, AudioToPlay(AUDIO, len(AUDIO) // 2)),
        ({"event": "mark", "mark": {"name": "m"}}, MarkToEcho("m")),
        ({"event": "clear"}, Clear()),
    ],
    ids=["media", "mark", "clear"],
)
def test_the_three_messages_of_an_edge(fields: dict[str, object], received: Received) -> None:
    assert wavix().receive(json.dumps({"stream_id": "str-456"} | fields)) == received
    without_id = wavix().receive(json.dumps(fields))
    assert isinstance(without_id, Fault)
    assert "missing required field `stream_id`" in without_id.text


MEDIA = {"event": "media", "stream_id": "str-456", "media": {"payload": PAYLOAD}}

WRONG: dict[str, tuple[object, str]] = {
    "foreign stream": (MEDIA | {"stream_id": "other"}, "stream_id is 'other', not 'str-456'"),
    "call id": (MEDIA | {"call_id": "abc-123"}, "unknown field `call_id`"),
    "not base64": (MEDIA | {"media": {"payload": "~~~~"}}, "Invalid base64"),
    "half a sample": (MEDIA | {"media": {"payload": "AAAA"}}, "no whole number of L16/24000"),
    "empty": (MEDIA | {"media": {"payload": ""}}, "without a single sample"),
    "keys": ({"event": "dtmf", "stream_id": "str-456"}, "'dtmf'"),
}


@pytest.mark.parametrize(("message", "words"), WRONG.values(), ids=WRONG)
def test_any_other_frame_is_a_fault(message: object, words: str) -> None:
    fault = wavix().receive(json.dumps(message))
    assert isinstance(fault, Fault)
    assert words in fault.text
