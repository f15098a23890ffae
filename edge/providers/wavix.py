"""Wavix media streaming, JSON text frames.

Numbers are integers, `event_time` stands on every frame and is not used; `call_id` and `stream_id`
are top-level, `start` and `stop` have no object of their own. Our frames carry `stream_id`. There
is no message for digits, in either direction.

Its protocol page does not name the audio format; its integration package sends 16-bit little-endian
samples at 24 kHz in 20 ms frames, so that is the default of TRUNKLINE_WAVIX_FORMAT. Whether marks
come back after a clear is not said either: TRUNKLINE_WAVIX_RETURNS_CLEARED_MARKS.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from common.audio import AudioFormat
from common.commands import ClearPlayback, Command, PlayAudio, SetMark
from common.errors import UnsupportedError
from common.events import CallEnded, CallStarted, EndReason
from edge.adapter import (
    FirstFrame,
    MarkEchoed,
    MediaReceived,
    Message,
    Ordering,
    Provider,
    Receipt,
    Recognition,
    Traits,
    guarded,
)
from edge.frame_parts import MarkBody, MediaBody, Number
from edge.frames import JsonChannel, decode, known, optional_id

__all__ = ["PROVIDER", "WavixAdapter", "WavixOptions"]


class WavixOptions(msgspec.Struct, frozen=True):
    format: Annotated[
        AudioFormat, Meta(description="what Wavix sends and takes, as ENCODING/HZ")
    ] = AudioFormat.pcm(24_000)
    returns_cleared_marks: Annotated[
        bool, Meta(description="whether marks come back after a clear")
    ] = True


class _Frame(msgspec.Struct, frozen=True, tag_field="event", kw_only=True):
    call_id: str = ""
    stream_id: str = ""
    sequence_number: Number = 0


class _Connected(_Frame, frozen=True, tag="connected"):
    pass


class _Start(_Frame, frozen=True, tag="start"):
    stream_type: str = "twoway"
    channel: str = ""


class _Media(_Frame, frozen=True, tag="media"):
    media: MediaBody


class _Mark(_Frame, frozen=True, tag="mark"):
    mark: MarkBody


class _Stop(_Frame, frozen=True, tag="stop"):
    pass


_AnyFrame: TypeAlias = _Connected | _Start | _Media | _Mark | _Stop
_decoder: msgspec.json.Decoder[_AnyFrame] = msgspec.json.Decoder(_AnyFrame, strict=False)


class WavixAdapter:
    ordering = Ordering()

    def __init__(self, options: WavixOptions) -> None:
        self.traits = Traits(returns_cleared_marks=options.returns_cleared_marks)
        self._format = options.format
        self._channel = JsonChannel("stream_id")
        self._is_oneway = False

    @guarded
    def receive(self, message: Message) -> list[Receipt]:
        frame = decode(_decoder, message)
        match frame:
            case _Media(media=media):
                self._channel.check(frame.stream_id)
                return [
                    MediaReceived(media.payload, media.chunk, frame.sequence_number, media.track)
                ]
            case _Mark():
                self._channel.check(frame.stream_id)
                return [MarkEchoed(frame.mark.name)]
            case _Start():
                return [self._started(frame)]
            case _Stop():
                self._channel.check(frame.stream_id)
                return [CallEnded(EndReason.CALLER_HUNG_UP)]
            case _Connected():
                return []

    def send(self, command: Command) -> None:
        if self._is_oneway and isinstance(command, PlayAudio | SetMark | ClearPlayback):
            raise UnsupportedError("the stream is one-way: the caller cannot be played to")
        self._channel.send(command)

    def messages_to_send(self) -> list[Message]:
        return self._channel.messages_to_send()

    def _started(self, frame: _Start) -> CallStarted:
        self._channel.open(frame.stream_id)
        self._is_oneway = frame.stream_type == "oneway"
        return CallStarted(
            provider=PROVIDER.name,
            format=self._format,
            provider_call_id=optional_id(frame.call_id),
            provider_stream_id=self._channel.stream_id,
            metadata=known({"stream_type": frame.stream_type, "channel": frame.channel}),
            reports_dtmf=False,
        )


def recognise(frame: FirstFrame) -> Recognition:
    match frame:
        case {"event": "connected", "event_time": _}:
            return Recognition.YES
        case {"event": "start", "stream_id": str(), "call_id": _} if "start" not in frame:
            return Recognition.YES
        case _:
            return Recognition.NO


PROVIDER = Provider("wavix", WavixOptions, WavixAdapter, recognise)
