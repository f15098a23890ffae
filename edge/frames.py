"""Reading and writing the JSON frames that most providers speak: `{"event": ..., ...}`.

Small functions that every JSON adapter calls; what a provider's frames contain stands in the
provider's own file.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any, TypeVar

import msgspec

from common.audio import AudioFormat, Encoding
from common.commands import ClearPlayback, Command, PlayAudio, SendDtmf, SetMark
from common.errors import MessageError, UnsupportedError, ViolationError
from common.events import DIGITS, Metadata
from edge.adapter import Message

__all__ = [
    "JsonChannel",
    "audio_format",
    "decode",
    "known",
    "optional_id",
    "valid_digit",
    "valid_id",
]

MAX_ID_LENGTH = 128

_ENCODINGS = {
    "mulaw": Encoding.PCMU,
    "pcmu": Encoding.PCMU,
    "alaw": Encoding.PCMA,
    "pcma": Encoding.PCMA,
    "l16": Encoding.L16,
    "g722": Encoding.G722,
    "opus": Encoding.OPUS,
    "amr-wb": Encoding.AMR_WB,
}

FrameT = TypeVar("FrameT")


def decode(decoder: msgspec.json.Decoder[FrameT], message: Message) -> FrameT:
    """The frame in a text message. Raises MessageError (`malformed`, or `unknown_event` when the
    frame's `event` is none of the decoder's), or ViolationError for a binary message."""
    if isinstance(message, bytes):
        raise ViolationError(1003, "binary message on a text protocol")
    try:
        return decoder.decode(message)
    except msgspec.ValidationError as error:
        told = str(error)
        is_unknown = told.startswith("Invalid value") and told.endswith("`$.event`")
        raise MessageError("unknown_event" if is_unknown else "malformed") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise MessageError("malformed") from None


def valid_id(text: str) -> str:
    """An id from outside, fit to be logged and stored. Raises MessageError when it is missing,
    ViolationError when it is no id at all."""
    if not text:
        raise MessageError("no_id")
    if len(text) > MAX_ID_LENGTH or not text.isprintable():
        raise ViolationError(1008, "invalid id")
    return text


def optional_id(text: str) -> str:
    """An id that may be missing."""
    return text and valid_id(text)


def valid_digit(text: str) -> str:
    if text not in DIGITS:
        raise MessageError("malformed")
    return text


def audio_format(encoding: str, rate_hz: int, channels: int) -> AudioFormat:
    """The format that a provider describes by a name like `audio/x-mulaw`, `PCMU` or `L16`.
    Raises ViolationError: audio that nobody can read is no call."""
    name = encoding.lower().removeprefix("audio/").removeprefix("x-")
    found = _ENCODINGS.get(name)
    if found is None or channels != 1 or not 8000 <= rate_hz <= 48_000:
        raise ViolationError(1003, "unsupported media format")
    return AudioFormat(found, rate_hz)


def known(metadata: dict[str, Any]) -> Metadata:
    """Only what the provider did tell."""
    return {name: value for name, value in metadata.items() if value}


class JsonChannel:
    """What the JSON family that Twilio began has in common: one stream id on every frame, and
    `media` (audio as base64), `mark` and `clear` back. The members differ in the field of a frame
    that names the stream towards the provider (`id_field`); some have none."""

    def __init__(self, id_field: str | None) -> None:
        self._id_field = id_field
        self._naming: dict[str, object] = {}
        self._to_send: list[Message] = []
        self._media_head = self._media_tail = ""
        self.stream_id = ""

    def open(self, stream_id: str) -> None:
        """The start has told which stream this is. Raises MessageError for the start of another
        while this one lives."""
        self.check(valid_id(stream_id))
        self.stream_id = stream_id
        if self._id_field is not None:
            self._naming = {self._id_field: stream_id}
        media = _text({"event": "media", **self._naming, "media": {"payload": "|"}})
        self._media_head, _, self._media_tail = media.rpartition("|")

    def check(self, stream_id: str) -> None:
        """Raises MessageError for a frame of no stream, or of another."""
        if not stream_id:
            raise MessageError("no_id")
        # Before the start there is nothing to compare with; the state table deals with that.
        if self.stream_id and stream_id != self.stream_id:
            raise MessageError("other_stream")

    def send(self, command: Command) -> None:
        """Nothing is sent where the family has no word (answer, hang up: the socket closes)."""
        match command:
            case PlayAudio(payload=payload):
                encoded = b2a_base64(payload, newline=False).decode()
                self._to_send.append(self._media_head + encoded + self._media_tail)
            case SetMark(name=name):
                frame = {"event": "mark", **self._naming, "mark": {"name": name}}
                self._to_send.append(_text(frame))
            case ClearPlayback():
                self._to_send.append(_text({"event": "clear", **self._naming}))
            case SendDtmf():
                raise UnsupportedError("the provider has no message for sending digits")

    def messages_to_send(self) -> list[Message]:
        messages, self._to_send = self._to_send, []
        return messages


def _text(frame: dict[str, object]) -> str:
    return msgspec.json.encode(frame).decode()
