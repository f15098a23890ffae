"""mesmer: a subset of Twilio's messages, with traps of its own.

`connected` carries nothing else; `start` and `stop` hold their ids nested and nowhere else;
`timestamp` is a number (ms since the stream began); there are no counters, tracks or keys.
Reference: the protocol page of mesmer's WebSocket media server.
"""

from __future__ import annotations

import secrets

from common.audio import AudioFormat
from ops.phone import twilio_frames
from ops.phone.dialect import Dialect, Received, WsMessage, encode

__all__ = ["DIALECT", "MesmerManners"]

_FORMAT = AudioFormat.pcmu()


class MesmerManners:
    def __init__(self, *, stream_sid: str, call_sid: str, account_sid: str) -> None:
        self._stream_sid = stream_sid
        self._ids = {"callSid": call_sid, "streamSid": stream_sid, "accountSid": account_sid}
        self._samples_sent = 0

    def open(self) -> list[WsMessage]:
        media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {"event": "start", "start": {**self._ids, "mediaFormat": media_format}}
        return [encode({"event": "connected"}), encode(start)]

    def media(self, payload: bytes) -> list[WsMessage]:
        media = {"timestamp": int(_FORMAT.ms(self._samples_sent)), "payload": payload}
        self._samples_sent += _FORMAT.samples_in(len(payload))
        return [encode({"event": "media", "streamSid": self._stream_sid, "media": media})]

    def dtmf(self, digit: str) -> list[WsMessage]:
        return []

    def mark_echo(self, name: str, *, is_cleared: bool) -> list[WsMessage]:
        return [encode({"event": "mark", "streamSid": self._stream_sid, "mark": {"name": name}})]

    def stop(self) -> list[WsMessage]:
        return [encode({"event": "stop", "stop": self._ids})]

    def receive(self, message: WsMessage) -> Received:
        return twilio_frames.receive(message, stream_sid=self._stream_sid, audio_format=_FORMAT)


def _open_call() -> MesmerManners:
    return MesmerManners(
        stream_sid=secrets.token_hex(16),
        call_sid=secrets.token_hex(16),
        account_sid=secrets.token_hex(16),
    )


DIALECT = Dialect("mesmer", format=_FORMAT, open_call=_open_call)
