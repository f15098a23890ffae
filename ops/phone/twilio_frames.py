"""The three messages that Twilio, and the providers that copied it, accept on a stream."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from common.audio import AudioFormat
from ops.phone.dialect import (
    Clear,
    Fault,
    MarkToEcho,
    Received,
    WsMessage,
    audio_to_play,
    decode,
)

__all__ = ["receive"]


class _Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class _Media(_Strict, frozen=True):
    payload: bytes


class _Mark(_Strict, frozen=True):
    name: Annotated[str, Meta(min_length=1)]


class _MediaFrame(_Strict, frozen=True, tag_field="event", tag="media"):
    stream_sid: str
    media: _Media


class _MarkFrame(_Strict, frozen=True, tag_field="event", tag="mark"):
    stream_sid: str
    mark: _Mark


class _ClearFrame(_Strict, frozen=True, tag_field="event", tag="clear"):
    stream_sid: str


_Frame: TypeAlias = _MediaFrame | _MarkFrame | _ClearFrame

_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)


def receive(message: WsMessage, *, stream_sid: str, audio_format: AudioFormat) -> Received:
    frame = decode(message, _decoder)
    if isinstance(frame, Fault):
        return frame
    if frame.stream_sid != stream_sid:
        return Fault(f"streamSid is {frame.stream_sid!r}, not {stream_sid!r}")
    match frame:
        case _MediaFrame():
            return audio_to_play(frame.media.payload, audio_format)
        case _MarkFrame():
            return MarkToEcho(frame.mark.name)
        case _ClearFrame():
            return Clear()
