"""Telnyx media streaming, as Telnyx speaks it on a bidirectional stream.

Numbers are strings, except in `media_format` and in errors. Every message after `connected` is
counted by `sequence_number`, every audio message also by `chunk`; `timestamp` is that of RTP: it
counts by the codec's clock, and here wraps at 2^32 after one second. Messages to Telnyx carry no
`stream_id`; one of audio lasts 20 ms to 30 s, and what is not base64 is answered by an `error`.

The codec is that of the telephone leg, the same both ways; L16 is in network byte order. G.722 is
announced with its RTP clock, which is half its rate, and Opus counts by a clock of 48 kHz whatever
its rate: RFC 3551, 4.5.2, and RFC 7587, 4.1.
Reference: https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
"""

from __future__ import annotations

import secrets
import uuid
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import partial
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from common.audio import AudioFormat, Encoding
from ops.phone.dialect import (
    Clear,
    Dialect,
    Fault,
    MarkToEcho,
    Received,
    WsMessage,
    decode,
    encode,
)
from ops.phone.ear import Ear
from ops.phone.wall_clock import Clock, iso, utc_now

__all__ = ["DIALECT", "TelnyxIds", "TelnyxManners"]

_RTP_WRAP = 1 << 32
_RTP_HZ = {Encoding.G722: 8000, Encoding.OPUS: 48_000}
_ANNOUNCED_HZ = {Encoding.G722: 8000}
_CHUNK_MS = 20
_MIN_MESSAGE_MS = 20
_MAX_MESSAGE_MS = 30_000
_CLIENT_STATE = b64encode(b"have a nice day =]").decode()
#: How Telnyx calls what we call by its byte order.
_WIRE_NAMES = {Encoding.L16BE: "L16"}


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Media(_Strict, frozen=True):
    payload: str


class _Mark(_Strict, frozen=True):
    name: Annotated[str, Meta(min_length=1)]


class _MediaFrame(_Strict, frozen=True, tag_field="event", tag="media"):
    media: _Media


class _MarkFrame(_Strict, frozen=True, tag_field="event", tag="mark"):
    mark: _Mark


class _ClearFrame(_Strict, frozen=True, tag_field="event", tag="clear"):
    pass


_Frame: TypeAlias = _MediaFrame | _MarkFrame | _ClearFrame
_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)


class TelnyxIds(NamedTuple):
    stream_id: str
    user_id: str
    call_control_id: str
    call_session_id: str


class TelnyxManners:
    """`token`: the secret that Telnyx was given to show, in a header and in its first frame."""

    def __init__(
        self, audio_format: AudioFormat, ids: TelnyxIds, *, token: str = "", now: Clock = utc_now
    ) -> None:
        self._format = audio_format
        self._ear = Ear(audio_format)
        self._ids = ids
        self._token = token
        self._now = now
        self._sequence_number = 0
        self._chunk = 0
        self._rtp_hz = _RTP_HZ.get(audio_format.encoding, audio_format.rate_hz)
        self._timestamp = _RTP_WRAP - self._rtp_hz

    def open(self) -> list[WsMessage]:
        connected: dict[str, object] = {"event": "connected", "version": "1.0.0"}
        if self._token:
            connected["connected"] = {"x-telnyx-streaming-auth-token": self._token}
        encoding = self._format.encoding
        start = {
            "user_id": self._ids.user_id,
            "call_control_id": self._ids.call_control_id,
            "call_session_id": self._ids.call_session_id,
            "from": "+13122010094",
            "to": "+13122123456",
            "tags": ["TAG1", "TAG2"],
            "client_state": _CLIENT_STATE,
            "custom_parameters": {"language": "en"},
            "media_format": {
                "encoding": _WIRE_NAMES.get(encoding, encoding),
                "sample_rate": _ANNOUNCED_HZ.get(encoding, self._format.rate_hz),
                "channels": 1,
            },
        }
        return [encode(connected), *self._say("start", start)]

    def media(self, payload: bytes) -> list[WsMessage]:
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._timestamp),
            "payload": payload,
        }
        self._timestamp = (self._timestamp + self._rtp_hz * _CHUNK_MS // 1000) % _RTP_WRAP
        return self._say("media", media)

    def dtmf(self, digit: str) -> list[WsMessage]:
        occurred_at = iso(self._now(), "microseconds")
        return self._say("dtmf", {"digit": digit}, occurred_at=occurred_at)

    def mark_echo(self, name: str, *, is_cleared: bool) -> list[WsMessage]:
        return self._say("mark", {"name": name})  # Telnyx does not tell cleared from played

    def stop(self) -> list[WsMessage]:
        ids = {"user_id": self._ids.user_id, "call_control_id": self._ids.call_control_id}
        return self._say("stop", ids)

    def receive(self, message: WsMessage) -> Received:
        frame = decode(message, _decoder)
        match frame:
            case _MediaFrame(media=media):
                return self._audio(media.payload)
            case _MarkFrame(mark=mark):
                return MarkToEcho(mark.name)
            case _ClearFrame():
                return Clear()
            case Fault():
                return frame

    def _audio(self, payload: str) -> Received:
        try:
            audio = self._ear.hear(b64decode(payload, validate=True))
        except ValueError as error:
            return Fault(f"audio that is not base64: {error}", self._invalid_media())
        if isinstance(audio, Fault):
            return audio
        ms = self._format.ms(audio.samples)
        if not _MIN_MESSAGE_MS <= ms <= _MAX_MESSAGE_MS:
            return Fault(f"a message of {ms:g} ms of audio, where 20 ms to 30 s are allowed")
        return audio

    def _invalid_media(self) -> WsMessage:
        detail = "Media provided was not base64 encoded"
        payload = {"code": 100004, "title": "invalid_media", "detail": detail}
        return encode({"event": "error", "stream_id": self._ids.stream_id, "payload": payload})

    def _say(self, event: str, body: Mapping[str, object], **more: str) -> list[WsMessage]:
        self._sequence_number += 1
        message: dict[str, object] = {
            "event": event,
            "stream_id": self._ids.stream_id,
            "sequence_number": str(self._sequence_number),
            **more,
            event: body,
        }
        return [encode(message)]


def _open_call(audio_format: AudioFormat) -> TelnyxManners:
    ids = TelnyxIds(
        stream_id=str(uuid.uuid4()),
        user_id=str(uuid.uuid4()),
        call_control_id=f"v2:{secrets.token_urlsafe(42)}",
        call_session_id=str(uuid.uuid4()),
    )
    return TelnyxManners(audio_format, ids)


def _dialect(audio_format: AudioFormat) -> Dialect:
    open_call = partial(_open_call, audio_format)
    return Dialect(
        "telnyx", audio_format, open_call, chunk_ms=_CHUNK_MS, has_dtmf=True, shuffles=True
    )


DIALECT = _dialect(AudioFormat.pcmu())._replace(
    variants={
        "PCMU": _dialect(AudioFormat.pcmu()),
        "PCMA": _dialect(AudioFormat(Encoding.PCMA, 8000)),
        "G722": _dialect(AudioFormat(Encoding.G722, 16_000)),
        "OPUS": _dialect(AudioFormat(Encoding.OPUS, 16_000)),
        "OPUS/16000": _dialect(AudioFormat(Encoding.OPUS, 16_000)),
        "OPUS/8000": _dialect(AudioFormat(Encoding.OPUS, 8000)),
        "AMR-WB": _dialect(AudioFormat(Encoding.AMR_WB, 16_000)),
        "L16": _dialect(AudioFormat(Encoding.L16BE, 16_000)),
        "L16/16000": _dialect(AudioFormat(Encoding.L16BE, 16_000)),
        "L16/8000": _dialect(AudioFormat(Encoding.L16BE, 8000)),
    }
)
