"""Twilio Media Streams, as Twilio speaks it on a bidirectional stream.

Numbers are strings, except in mediaFormat. Every message after `connected` is counted by
`sequenceNumber`, every audio message also by `chunk`; `timestamp` is ms since the stream began.
Reference: https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from common.audio import AudioFormat
from ops.phone import twilio_frames
from ops.phone.dialect import Dialect, Received, WsMessage, encode

__all__ = ["DIALECT", "TwilioManners"]

_FORMAT = AudioFormat.pcmu()


class TwilioManners:
    def __init__(self, *, stream_sid: str, call_sid: str, account_sid: str) -> None:
        self._stream_sid = stream_sid
        self._call_sid = call_sid
        self._account_sid = account_sid
        self._sequence_number = 0
        self._chunk = 0
        self._samples_sent = 0

    def open(self) -> list[WsMessage]:
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        start = {
            "accountSid": self._account_sid,
            "streamSid": self._stream_sid,
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {},
        }
        return [encode(connected), *self._say("start", start)]

    def media(self, payload: bytes) -> list[WsMessage]:
        self._chunk += 1
        timestamp_ms = int(_FORMAT.ms(self._samples_sent))
        self._samples_sent += _FORMAT.samples_in(len(payload))
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(timestamp_ms),
            "payload": payload,
        }
        return self._say("media", media)

    def dtmf(self, digit: str) -> list[WsMessage]:
        return self._say("dtmf", {"track": "inbound_track", "digit": digit})

    def mark_echo(self, name: str, *, is_cleared: bool) -> list[WsMessage]:
        return self._say("mark", {"name": name})  # Twilio does not tell cleared from played

    def stop(self) -> list[WsMessage]:
        return self._say("stop", {"accountSid": self._account_sid, "callSid": self._call_sid})

    def receive(self, message: WsMessage) -> Received:
        return twilio_frames.receive(message, stream_sid=self._stream_sid, audio_format=_FORMAT)

    def _say(self, event: str, body: Mapping[str, object]) -> list[WsMessage]:
        self._sequence_number += 1
        message: dict[str, object] = {
            "event": event,
            "sequenceNumber": str(self._sequence_number),
            "streamSid": self._stream_sid,
            event: body,
        }
        return [encode(message)]


def _open_call() -> TwilioManners:
    return TwilioManners(
        stream_sid=f"MZ{secrets.token_hex(16)}",
        call_sid=f"CA{secrets.token_hex(16)}",
        account_sid=f"AC{secrets.token_hex(16)}",
    )


DIALECT = Dialect("twilio", format=_FORMAT, open_call=_open_call, has_dtmf=True)
