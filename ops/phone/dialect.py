"""The contract of a provider's dialect: what it says on the socket, what it makes of an answer.

Rule 1: sans-IO. Messages in, values out; text protocols speak `str`, binary audio is `bytes`.
Rule 2: strict. A frame that the provider's documentation does not allow is a `Fault`: a field too
        many, one missing or of the wrong type, a foreign stream id, a payload that is no audio.
Rule 3: nothing is shared with the edge, which this is an independent check of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from common.audio import AudioFormat

__all__ = [
    "Answer",
    "AudioToPlay",
    "Clear",
    "Dialect",
    "Fault",
    "HangUp",
    "KeyToPress",
    "Manners",
    "MarkToEcho",
    "Received",
    "WsMessage",
    "audio_to_play",
    "decode",
    "encode",
]

WsMessage: TypeAlias = str | bytes


class Answer(NamedTuple):
    """The far end takes the call; only asked of providers that ring first."""


class AudioToPlay(NamedTuple):
    """`samples`: how long it lasts, at the rate of the play format."""

    payload: bytes
    samples: int


class MarkToEcho(NamedTuple):
    name: str


class Clear(NamedTuple):
    """Stop playing now and forget what is queued."""


class KeyToPress(NamedTuple):
    digit: str


class HangUp(NamedTuple):
    """The far end asks, in the protocol's words, for the call to end."""


class Fault(NamedTuple):
    """The far end broke the protocol; `reply` is what the provider says to that, if anything."""

    text: str
    reply: WsMessage | None = None


Received: TypeAlias = Answer | AudioToPlay | MarkToEcho | Clear | KeyToPress | HangUp | Fault


class Manners(Protocol):
    """One call in the provider's words. What a provider has no words for is an empty list."""

    def open(self) -> list[WsMessage]: ...
    def media(self, payload: bytes) -> list[WsMessage]: ...
    def dtmf(self, digit: str) -> list[WsMessage]: ...
    def mark_echo(self, name: str, *, is_cleared: bool) -> list[WsMessage]: ...
    def stop(self) -> list[WsMessage]: ...
    def receive(self, message: WsMessage) -> Received:
        """What one message asks for, whatever it holds; never raises."""


class Dialect(NamedTuple):
    """What each file in `dialects/` exports as DIALECT. `open_call` begins a call with ids of its
    own; `play_format` is what the provider wants to be sent (None: the caller's own format)."""

    name: str
    format: AudioFormat
    open_call: Callable[[], Manners]
    play_format: AudioFormat | None = None
    chunk_ms: int = 20
    has_dtmf: bool = False  # a word for keys that the caller presses
    takes_dtmf: bool = False  # a word for keys that the far end presses
    rings: bool = False  # no audio either way before an Answer
    silent_s: float = 0.0  # between connecting and the first word
    shuffles: bool = False  # audio may come out of order, and twice
    tells_clear: bool = True  # False: a far end that clears has no word for it
    variants: Mapping[str, Dialect] = {}  # other ways to speak it: codecs, versions


T = TypeVar("T")


_encoder = msgspec.json.Encoder()


def encode(message: object) -> str:
    """One text message of a JSON protocol; bytes become base64."""
    return _encoder.encode(message).decode()


def decode(message: WsMessage, decoder: msgspec.json.Decoder[T]) -> T | Fault:
    """Read one text message of a JSON protocol."""
    if isinstance(message, bytes):
        return Fault("a binary message on a text protocol")
    try:
        return decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Fault(f"not a message of this protocol: {error}")


def audio_to_play(payload: bytes, audio_format: AudioFormat) -> AudioToPlay | Fault:
    """For encodings in which every byte is a stretch of time; of others, `ear` can tell more."""
    if not payload:
        return Fault("audio without a single sample")
    samples = audio_format.samples_in(len(payload))
    if audio_format.bytes_for(samples) != len(payload):
        return Fault(f"{len(payload)} bytes are no whole number of {audio_format} samples")
    return AudioToPlay(payload, samples)
