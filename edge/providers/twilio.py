"""Twilio Media Streams, bidirectional (`<Connect><Stream>`), JSON text frames.

Source: https://www.twilio.com/docs/voice/media-streams/websocket-messages
Numbers in frames are strings, but for `sampleRate` and `channels`. Every frame but `connected`
names its stream in a top-level `streamSid`. Audio is raw mu-law at 8 kHz without a file header.
Twilio gives all pending marks back after a clear. It has no message for sending digits or for
hanging up: closing the socket lets its call go on with what follows `<Connect>`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from common.commands import Command
from common.events import CallEnded, CallStarted, DtmfReceived, EndReason
from edge.adapter import (
    FirstFrame,
    MarkEchoed,
    MediaReceived,
    Message,
    NoOptions,
    Ordering,
    Provider,
    Receipt,
    Recognition,
    Traits,
    guarded,
)
from edge.frame_parts import DtmfBody, MarkBody, MediaBody, MediaFormat, Number, StreamNamed
from edge.frames import JsonChannel, decode, known, optional_id, valid_digit

__all__ = ["PROVIDER", "TwilioAdapter"]


class _StartBody(StreamNamed, frozen=True):
    call_sid: str = ""
    account_sid: str = ""
    tracks: list[str] | None = None
    media_format: MediaFormat = MediaFormat()
    custom_parameters: dict[str, str] | None = None


class _Frame(StreamNamed, frozen=True, tag_field="event", kw_only=True):
    sequence_number: Number = 0


class _Connected(_Frame, frozen=True, tag="connected"):
    pass


class _Start(_Frame, frozen=True, tag="start"):
    start: _StartBody


class _Media(_Frame, frozen=True, tag="media"):
    media: MediaBody


class _Dtmf(_Frame, frozen=True, tag="dtmf"):
    dtmf: DtmfBody


class _Mark(_Frame, frozen=True, tag="mark"):
    mark: MarkBody


class _Stop(_Frame, frozen=True, tag="stop"):
    pass


_AnyFrame: TypeAlias = _Connected | _Start | _Media | _Dtmf | _Mark | _Stop
_decoder: msgspec.json.Decoder[_AnyFrame] = msgspec.json.Decoder(_AnyFrame, strict=False)


class TwilioAdapter:
    ordering = Ordering()
    traits = Traits()

    def __init__(self, options: NoOptions) -> None:
        self._channel = JsonChannel("streamSid")

    @guarded
    def receive(self, message: Message) -> list[Receipt]:
        frame = decode(_decoder, message)
        match frame:
            case _Media():
                self._channel.check(frame.stream_id)
                media = frame.media
                return [
                    MediaReceived(media.payload, media.chunk, frame.sequence_number, media.track)
                ]
            case _Mark():
                self._channel.check(frame.stream_id)
                return [MarkEchoed(frame.mark.name)]
            case _Dtmf():
                self._channel.check(frame.stream_id)
                return [DtmfReceived(valid_digit(frame.dtmf.digit))]
            case _Start():
                return [self._started(frame)]
            case _Stop():
                self._channel.check(frame.stream_id)
                return [CallEnded(EndReason.CALLER_HUNG_UP)]
            case _Connected():
                return []

    def send(self, command: Command) -> None:
        self._channel.send(command)

    def messages_to_send(self) -> list[Message]:
        return self._channel.messages_to_send()

    def _started(self, frame: _Start) -> CallStarted:
        body = frame.start
        heard = body.media_format.audio()
        self._channel.open(frame.stream_id or body.stream_id)
        return CallStarted(
            provider=PROVIDER.name,
            format=heard,
            provider_call_id=optional_id(body.call_sid),
            provider_stream_id=self._channel.stream_id,
            metadata=known(
                {
                    "account_sid": body.account_sid,
                    "tracks": body.tracks,
                    "custom_parameters": body.custom_parameters,
                }
            ),
        )


def recognise(frame: FirstFrame) -> Recognition:
    match frame:
        case {"event": "connected", "protocol": "Call"}:
            return Recognition.UNSURE  # its relatives greet like that too
        case {"event": "start", "streamSid": str(), "sequenceNumber": _, "start": {"streamSid": _}}:
            return Recognition.YES
        case _:
            return Recognition.NO


PROVIDER = Provider("twilio", NoOptions, TwilioAdapter, recognise)
