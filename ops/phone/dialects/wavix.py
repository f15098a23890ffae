"""Wavix media streaming, as Wavix speaks it on a two-way stream.

Numbers are integers, `event_time` stands on every message, `call_id` and `stream_id` at the top of
every one but the first; `start` and `stop` have no object of their own, and there are no keys.
Messages to Wavix carry `stream_id`.

Its documentation names no audio format; its integration package sends 16-bit little-endian samples
at 24 kHz in frames of 20 ms. It shows the timestamp 160 on the first frame: 20 ms in samples of
8 kHz, so that is what is counted here, whatever the rate. Whether marks come back after a clear is
not said; here they do.
"""

from __future__ import annotations

import uuid
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
    encode,
)
from ops.phone.wall_clock import Clock, iso, utc_now

__all__ = ["DIALECT", "WavixManners"]

_FORMAT = AudioFormat.pcm(24_000)
_TIMESTAMP_HZ = 8000


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Media(_Strict, frozen=True):
    payload: bytes


class _Mark(_Strict, frozen=True):
    name: Annotated[str, Meta(min_length=1)]


class _MediaFrame(_Strict, frozen=True, tag_field="event", tag="media"):
    stream_id: str
    media: _Media


class _MarkFrame(_Strict, frozen=True, tag_field="event", tag="mark"):
    stream_id: str
    mark: _Mark


class _ClearFrame(_Strict, frozen=True, tag_field="event", tag="clear"):
    stream_id: str


_Frame: TypeAlias = _MediaFrame | _MarkFrame | _ClearFrame
_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)


class WavixManners:
    def __init__(self, *, call_id: str, stream_id: str, now: Clock = utc_now) -> None:
        self._call_id = call_id
        self._stream_id = stream_id
        self._now = now
        self._sequence_number = 0
        self._chunk = 0
        self._samples_sent = 0

    def open(self) -> list[WsMessage]:
        connected = {"event": "connected", "event_time": self._event_time()}
        return [encode(connected), *self._say("start", stream_type="twoway", channel="both")]

    def media(self, payload: bytes) -> list[WsMessage]:
        self._chunk += 1
        self._samples_sent += _FORMAT.samples_in(len(payload))
        media = {
            "payload": payload,
            "track": "inbound",
            "timestamp": self._samples_sent * _TIMESTAMP_HZ // _FORMAT.rate_hz,
            "chunk": self._chunk,
        }
        return self._say("media", media=media)

    def dtmf(self, digit: str) -> list[WsMessage]:
        return []

    def mark_echo(self, name: str, *, is_cleared: bool) -> list[WsMessage]:
        return self._say("mark", mark={"name": name})

    def stop(self) -> list[WsMessage]:
        return self._say("stop")

    def receive(self, message: WsMessage) -> Received:
        frame = decode(message, _decoder)
        if isinstance(frame, Fault):
            return frame
        if frame.stream_id != self._stream_id:
            return Fault(f"stream_id is {frame.stream_id!r}, not {self._stream_id!r}")
        match frame:
            case _MediaFrame(media=media):
                return audio_to_play(media.payload, _FORMAT)
            case _MarkFrame(mark=mark):
                return MarkToEcho(mark.name)
            case _ClearFrame():
                return Clear()

    def _say(self, event: str, **body: object) -> list[WsMessage]:
        self._sequence_number += 1
        message = {
            "event": event,
            "event_time": self._event_time(),
            "call_id": self._call_id,
            "stream_id": self._stream_id,
            "sequence_number": self._sequence_number,
            **body,
        }
        return [encode(message)]

    def _event_time(self) -> str:
        return iso(self._now(), "seconds")


def _open_call() -> WavixManners:
    return WavixManners(call_id=str(uuid.uuid4()), stream_id=str(uuid.uuid4()))


DIALECT = Dialect("wavix", _FORMAT, _open_call)
