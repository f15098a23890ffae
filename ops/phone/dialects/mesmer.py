"""mesmer: a subset of Twilio's messages, with traps of its own.

`connected` carries nothing else; `start` and `stop` hold their ids nested and nowhere else;
`timestamp` is a number (ms since the stream began); there are no counters, tracks or keys.
Reference: the protocol page of mesmer's WebSocket media server.
"""

from __future__ import annotations

import secrets
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from common.audio import AudioFormat
from ops.phone.dialect import (
    Clear,
    Dialect,
    Fault,
    MarkToEcho,
    Received,
    WsMessage,
    audio_to_play,
    decode,
)

__all__ = ["DIALECT", "MesmerManners"]

_FORMAT = AudioFormat.pcmu()


class _Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class _ReceivedMedia(_Strict, frozen=True):
    payload: bytes


class _ReceivedMark(_Strict, frozen=True):
    name: Annotated[str, Meta(min_length=1)]


class _MediaFrame(_Strict, frozen=True, tag_field="event", tag="media"):
    stream_sid: str
    media: _ReceivedMedia


class _MarkFrame(_Strict, frozen=True, tag_field="event", tag="mark"):
    stream_sid: str
    mark: _ReceivedMark


class _ClearFrame(_Strict, frozen=True, tag_field="event", tag="clear"):
    stream_sid: str


_Frame: TypeAlias = _MediaFrame | _MarkFrame | _ClearFrame

_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)
_encoder = msgspec.json.Encoder()


class MesmerManners:
    def __init__(self, *, stream_sid: str, call_sid: str, account_sid: str) -> None:
        self._stream_sid = stream_sid
        self._ids = {"callSid": call_sid, "streamSid": stream_sid, "accountSid": account_sid}
        self._samples_sent = 0

    def open(self) -> list[WsMessage]:
        media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {"event": "start", "start": {**self._ids, "mediaFormat": media_format}}
        return [_text({"event": "connected"}), _text(start)]

    def media(self, payload: bytes) -> list[WsMessage]:
        media = {"timestamp": int(_FORMAT.ms(self._samples_sent)), "payload": payload}
        self._samples_sent += _FORMAT.samples_in(len(payload))
        return [_text({"event": "media", "streamSid": self._stream_sid, "media": media})]

    def dtmf(self, digit: str) -> list[WsMessage]:
        return []

    def mark_echo(self, name: str, *, is_cleared: bool) -> list[WsMessage]:
        return [_text({"event": "mark", "streamSid": self._stream_sid, "mark": {"name": name}})]

    def stop(self) -> list[WsMessage]:
        return [_text({"event": "stop", "stop": self._ids})]

    def receive(self, message: WsMessage) -> Received:
        frame = decode(message, _decoder)
        if isinstance(frame, Fault):
            return frame
        if frame.stream_sid != self._stream_sid:
            return Fault(f"streamSid is {frame.stream_sid!r}, not {self._stream_sid!r}")
        match frame:
            case _MediaFrame():
                return audio_to_play(frame.media.payload, _FORMAT)
            case _MarkFrame():
                return MarkToEcho(frame.mark.name)
            case _ClearFrame():
                return Clear()


def _text(message: object) -> str:
    return _encoder.encode(message).decode()


def _open_call() -> MesmerManners:
    return MesmerManners(
        stream_sid=secrets.token_hex(16),
        call_sid=secrets.token_hex(16),
        account_sid=secrets.token_hex(16),
    )


DIALECT = Dialect("mesmer", format=_FORMAT, open_call=_open_call)
