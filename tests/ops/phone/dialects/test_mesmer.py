from __future__ import annotations

from ops.phone.dialects.mesmer import MesmerManners
from tests.ops.phone.dialects.words import AUDIO, PAYLOAD, said

STREAM = "MZ" + "0" * 32
CALL = "CA" + "1" * 32
ACCOUNT = "AC" + "2" * 32


def mesmer() -> MesmerManners:
    return MesmerManners(stream_sid=STREAM, call_sid=CALL, account_sid=ACCOUNT)


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
