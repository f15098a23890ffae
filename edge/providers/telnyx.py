"""Telnyx media streaming, JSON text frames.

Source: https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
Numbers are strings, but for those in `media_format`. The order of `media` is not guaranteed:
`chunk`, counted per track, is the field to order by; where it is missing the RTP timestamp (sample
units, wraps at 2^32) serves. Keys are ordered by `occurred_at`. Our frames carry no `stream_id`; a
message of audio lasts 20 ms to 30 s, or is a whole MP3 file, of which at most one a second is
taken. All pending marks come back after a clear.

The caller's format is that of the telephone leg (PCMA in Europe); the one to play is what
`stream_bidirectional_codec` asked Telnyx for, so it is a setting: TRUNKLINE_TELNYX_PLAY_FORMAT.
RFC 3551 sends L16 in network byte order and Telnyx does not say: TRUNKLINE_TELNYX_L16_BYTE_ORDER.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from common.audio import AudioFormat, Encoding
from common.commands import Command
from common.events import CallEnded, CallStarted, DtmfReceived, EndReason, ProviderFailed
from common.packets import samples_in
from edge.adapter import (
    FirstFrame,
    KeyPressed,
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
from edge.frame_parts import DtmfBody, MarkBody, MediaBody, Number
from edge.frames import (
    JsonChannel,
    audio_format,
    decode,
    known,
    optional_id,
    valid_digit,
)

__all__ = ["PROVIDER", "TelnyxAdapter", "TelnyxOptions"]

_MAX_MESSAGE_MS = 30_000
_FILE_INTERVAL_MS = 1000
_RTP_WRAP = 1 << 32
# Clocks that are the codec's, whatever rate is told: RFC 3551 4.5.2, RFC 7587 4.1, RFC 4867 4.1.
_RTP_HZ = {Encoding.G722: 8000, Encoding.OPUS: 48_000, Encoding.AMR_WB: 16_000}


class TelnyxOptions(msgspec.Struct, frozen=True):
    play_format: Annotated[
        AudioFormat | None,
        Meta(description="what Telnyx was asked to take, as ENCODING/HZ; unset: what it sends"),
    ] = None
    l16_byte_order: Annotated[
        Literal["big", "little"], Meta(description="byte order of L16 audio, both ways")
    ] = "big"
    reorder_frames: Annotated[
        int, Meta(ge=0, le=50, description="frames that may wait for one that is missing")
    ] = 5
    reorder_ms: Annotated[
        int, Meta(ge=0, le=1000, description="ms that frames and keys wait for one before them")
    ] = 100


class _MediaFormat(msgspec.Struct, frozen=True):
    encoding: str = "PCMU"
    sample_rate: int = 8000
    channels: int = 1


class _StartBody(msgspec.Struct, frozen=True, rename={"sender": "from", "to": "to"}):
    user_id: str | None = None
    call_control_id: str = ""
    call_session_id: str | None = None
    sender: str | None = None
    to: str | None = None
    tags: list[str] | None = None
    client_state: str | None = None
    custom_parameters: dict[str, str] | None = None
    media_format: _MediaFormat = _MediaFormat()


class _MediaBody(MediaBody, frozen=True):
    timestamp: int | float | str | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    code: int = 0
    title: str = ""
    detail: str = ""


class _Frame(msgspec.Struct, frozen=True, tag_field="event", kw_only=True):
    stream_id: str = ""
    sequence_number: Number = 0


class _Connected(_Frame, frozen=True, tag="connected"):
    pass


class _Start(_Frame, frozen=True, tag="start"):
    start: _StartBody


class _Media(_Frame, frozen=True, tag="media"):
    media: _MediaBody


class _Dtmf(_Frame, frozen=True, tag="dtmf"):
    dtmf: DtmfBody
    occurred_at: str = ""


class _Mark(_Frame, frozen=True, tag="mark"):
    mark: MarkBody


class _Error(_Frame, frozen=True, tag="error"):
    payload: _ErrorBody


class _Stop(_Frame, frozen=True, tag="stop"):
    pass


_AnyFrame: TypeAlias = _Connected | _Start | _Media | _Dtmf | _Mark | _Error | _Stop
_decoder: msgspec.json.Decoder[_AnyFrame] = msgspec.json.Decoder(_AnyFrame, strict=False)


class TelnyxAdapter:
    def __init__(self, options: TelnyxOptions) -> None:
        self.ordering = Ordering(options.reorder_frames, options.reorder_ms)
        self._options = options
        self._play_format = options.play_format
        self._heard = AudioFormat.pcmu()
        self._channel = JsonChannel(None)
        self._rtp_clocks: dict[str, _RtpClock] = {}

    @property
    def traits(self) -> Traits:
        if self._play_format is not None and self._play_format.encoding is Encoding.MP3:
            return Traits(min_interval_ms=_FILE_INTERVAL_MS)
        return Traits(max_message_ms=_MAX_MESSAGE_MS, whole_frames=True)

    @guarded
    def receive(self, message: Message) -> list[Receipt]:
        frame = decode(_decoder, message)
        match frame:
            case _Connected():
                return []
            case _Start():
                return [self._started(frame)]
            case _Error(payload=payload):
                self._channel.check(frame.stream_id or self._channel.stream_id)
                return [ProviderFailed(str(payload.code), payload.title, payload.detail)]
        self._channel.check(frame.stream_id)
        return [self._read(frame)]

    def send(self, command: Command) -> None:
        self._channel.send(command)

    def messages_to_send(self) -> list[Message]:
        return self._channel.messages_to_send()

    def _read(self, frame: _Media | _Dtmf | _Mark | _Stop) -> Receipt:
        match frame:
            case _Media(media=media):
                number = media.chunk if media.chunk is not None else self._number(media)
                return MediaReceived(media.payload, number, frame.sequence_number, media.track)
            case _Dtmf():
                key = DtmfReceived(valid_digit(frame.dtmf.digit))
                return KeyPressed(key, frame.occurred_at)
            case _Mark():
                return MarkEchoed(frame.mark.name)
            case _Stop():
                return CallEnded(EndReason.CALLER_HUNG_UP)

    def _number(self, media: _MediaBody) -> int | None:
        """The place of a frame without `chunk`, by its RTP timestamp."""
        heard = self._heard
        samples = samples_in(media.payload, heard)
        ticks = samples * _RTP_HZ.get(heard.encoding, heard.rate_hz) // heard.rate_hz
        timestamp = _rtp_timestamp(media.timestamp)
        if timestamp is None or not ticks:
            return None
        clock = self._rtp_clocks.setdefault(media.track, _RtpClock())
        return clock.unwrapped(timestamp) // ticks

    def _started(self, frame: _Start) -> CallStarted:
        body = frame.start
        self._channel.open(frame.stream_id)
        described = body.media_format
        heard = audio_format(described.encoding, described.sample_rate, described.channels)
        self._heard = self._in_byte_order(heard)
        if self._options.play_format is not None:
            self._play_format = self._in_byte_order(self._options.play_format)
        return CallStarted(
            provider=PROVIDER.name,
            format=self._heard,
            provider_call_id=optional_id(body.call_control_id),
            provider_stream_id=self._channel.stream_id,
            play_format=self._play_format,
            metadata=known(
                {
                    "from": body.sender,
                    "to": body.to,
                    "user_id": body.user_id,
                    "call_session_id": body.call_session_id,
                    "tags": body.tags,
                    "client_state": _decoded(body.client_state),
                    "client_state_raw": body.client_state,
                    "custom_parameters": body.custom_parameters,
                }
            ),
        )

    def _in_byte_order(self, audio: AudioFormat) -> AudioFormat:
        if audio.encoding is Encoding.L16 and self._options.l16_byte_order == "big":
            return AudioFormat(Encoding.L16BE, audio.rate_hz)
        return audio


class _RtpClock:
    """RTP timestamps without their wrap."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrapped(self, timestamp: int) -> int:
        if self._last is None:
            self._last = timestamp
        else:
            step = (timestamp - self._last) % _RTP_WRAP
            self._last += step if step < _RTP_WRAP // 2 else step - _RTP_WRAP
        return self._last


def _rtp_timestamp(told: float | str | None) -> int | None:
    """None for what is none: it must not cost the frame."""
    try:
        timestamp = int(told) if told is not None else -1
    except (ValueError, OverflowError):
        return None
    return timestamp if 0 <= timestamp < _RTP_WRAP else None


def _decoded(client_state: str | None) -> str | None:
    """What the customer gave Telnyx to keep; None when it is not base64 of a text."""
    try:
        return b64decode(client_state or "", validate=True).decode()
    except ValueError:  # base64's and UTF-8's errors are of this kind
        return None


def recognise(frame: FirstFrame) -> Recognition:
    match frame:
        case {"event": "connected", "version": _} if "protocol" not in frame:
            return Recognition.YES
        case {"event": "start", "stream_id": str(), "start": {"call_control_id": _}}:
            return Recognition.YES
        case _:
            return Recognition.NO


PROVIDER = Provider("telnyx", TelnyxOptions, TelnyxAdapter, recognise)
