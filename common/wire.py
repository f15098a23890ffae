"""How events and commands lie in Redis: the only msgpack encoders and decoders of the project.

An entry of a call's stream has one field. On the way in it holds an `EventEnvelope`, on the way
out a bare command. The entry id `<seq>-0` is the sequence number, so the payload repeats neither
the number nor the call.
"""

from __future__ import annotations

import msgspec

from common.commands import Command
from common.errors import WireError
from common.events import Event

__all__ = [
    "EventEnvelope",
    "decode_command",
    "decode_event",
    "encode_command",
    "encode_event",
]


class EventEnvelope(msgspec.Struct, frozen=True, array_like=True):
    """`at_ms`: the edge's wall clock when the event happened, for measuring lag across hosts."""

    at_ms: int
    event: Event


_encoder = msgspec.msgpack.Encoder()
_event_decoder = msgspec.msgpack.Decoder(EventEnvelope)
_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)


def encode_event(event: Event, *, at_ms: int) -> bytes:
    return _encoder.encode(EventEnvelope(at_ms, event))


def encode_command(command: Command) -> bytes:
    return _encoder.encode(command)


def decode_event(data: bytes) -> EventEnvelope:
    """Raises WireError, whatever the bytes are."""
    try:
        return _event_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not an event: {error}") from None


def decode_command(data: bytes) -> Command:
    """Raises WireError, whatever the bytes are."""
    try:
        return _command_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a command: {error}") from None
