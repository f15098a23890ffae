"""mesmer: a subset of Twilio's frames, with traps.

`connected` carries nothing else, `start` and `stop` have no top-level `streamSid` (the ids are
inside), `media.timestamp` is a number, and there is neither a track, a sequence number nor a
digit. mesmer must give all pending marks back after a clear.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from common.commands import Command
from common.events import CallEnded, CallStarted, EndReason
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
from edge.frame_parts import MarkBody, MediaFormat, StreamNamed
from edge.frames import JsonChannel, decode, known, optional_id

__all__ = ["PROVIDER", "MesmerAdapter"]


class _Ids(StreamNamed, frozen=True):
    call_sid: str = ""
    account_sid: str = ""


class _StartBody(_Ids, frozen=True):
    media_format: MediaFormat = MediaFormat()


class _MediaBody(msgspec.Struct, frozen=True):
    payload: bytes


class _Frame(StreamNamed, frozen=True, tag_field="event", kw_only=True):
    pass


class _Connected(_Frame, frozen=True, tag="connected"):
    pass


class _Start(_Frame, frozen=True, tag="start"):
    start: _StartBody


class _Media(_Frame, frozen=True, tag="media"):
    media: _MediaBody


class _Mark(_Frame, frozen=True, tag="mark"):
    mark: MarkBody


class _Stop(_Frame, frozen=True, tag="stop"):
    stop: _Ids = _Ids()


_AnyFrame: TypeAlias = _Connected | _Start | _Media | _Mark | _Stop
_decoder: msgspec.json.Decoder[_AnyFrame] = msgspec.json.Decoder(_AnyFrame, strict=False)


class MesmerAdapter:
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
                return [MediaReceived(frame.media.payload)]
            case _Mark():
                self._channel.check(frame.stream_id)
                return [MarkEchoed(frame.mark.name)]
            case _Start():
                return [self._started(frame)]
            case _Stop():
                self._channel.check(
                    frame.stream_id or frame.stop.stream_id or self._channel.stream_id
                )
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
            metadata=known({"account_sid": body.account_sid}),
            reports_dtmf=False,
        )


def recognise(frame: FirstFrame) -> Recognition:
    match frame:
        case {"event": "connected"} if len(frame) == 1:
            return Recognition.UNSURE  # others greet as shortly
        case {"event": "start", "start": {"streamSid": str()}} if "streamSid" not in frame:
            return Recognition.YES
        case _:
            return Recognition.NO


PROVIDER = Provider("mesmer", NoOptions, MesmerAdapter, recognise)
