from __future__ import annotations

import re

from ops.phone.dialects.twilio import DIALECT, TwilioManners
from tests.ops.phone.dialects.words import AUDIO, PAYLOAD, said

STREAM = "MZ" + "0" * 32
CALL = "CA" + "1" * 32
ACCOUNT = "AC" + "2" * 32


def twilio() -> TwilioManners:
    return TwilioManners(stream_sid=STREAM, call_sid=CALL, account_sid=ACCOUNT)


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
    start = said(DIALECT.open_call().open())[1]["start"]
    assert re.fullmatch("MZ[0-9a-f]{32}", start["streamSid"])
    assert re.fullmatch("CA[0-9a-f]{32}", start["callSid"])
    assert re.fullmatch("AC[0-9a-f]{32}", start["accountSid"])
