"""What the JSON frames of several providers are made of, where those agree to the letter.

A provider whose frames differ writes its own parts in its own file: no part here has a case for
one provider.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from common.audio import AudioFormat
from edge.frames import audio_format

__all__ = [
    "DtmfBody",
    "MarkBody",
    "MediaBody",
    "MediaFormat",
    "Number",
    "StreamNamed",
]

#: A number on the wire. Decoders that are not strict take it as text too: providers differ.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class StreamNamed(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Something that names its stream as Twilio does; copies of Twilio are met with the other
    spelling."""

    stream_sid: str = ""
    stream_sid_in_snake_case: str = msgspec.field(default="", name="stream_sid")

    @property
    def stream_id(self) -> str:
        return self.stream_sid or self.stream_sid_in_snake_case


class MediaFormat(msgspec.Struct, frozen=True, rename="camel"):
    """As Twilio describes audio."""

    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1

    def audio(self) -> AudioFormat:
        """Raises ViolationError, see `audio_format`."""
        return audio_format(self.encoding, self.sample_rate, self.channels)


class MediaBody(msgspec.Struct, frozen=True):
    """`chunk` counts the frames of a track."""

    payload: bytes
    track: str = "inbound"
    chunk: Number | None = None


class DtmfBody(msgspec.Struct, frozen=True):
    digit: str


class MarkBody(msgspec.Struct, frozen=True):
    name: str
