"""Which codec an encoding has; one codec per file beside this table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from workers.audio import g711, l16
from workers.audio.codec import Decoder, Encoder, Pcm, SampleDecoder, SampleEncoder

__all__ = ["Pcm", "decode", "encode", "open_decoder", "open_encoder"]

_OpenDecoder: TypeAlias = Callable[[int], Decoder]
_OpenEncoder: TypeAlias = Callable[[int], Encoder]


class _Plain(NamedTuple):
    """A codec without memory."""

    decode: Callable[[bytes], Pcm]
    encode: Callable[[Pcm], bytes]


_PLAIN = {
    Encoding.PCMU: _Plain(g711.decode_mulaw, g711.encode_mulaw),
    Encoding.PCMA: _Plain(g711.decode_alaw, g711.encode_alaw),
    Encoding.L16: _Plain(l16.decode_little, l16.encode_little),
    Encoding.L16BE: _Plain(l16.decode_big, l16.encode_big),
}

# Each takes the format's rate_hz, and raises AgentError where that cannot be.
_DECODERS: dict[Encoding, _OpenDecoder] = {
    encoding: partial(SampleDecoder, decode=codec.decode) for encoding, codec in _PLAIN.items()
}
_ENCODERS: dict[Encoding, _OpenEncoder] = {
    encoding: partial(SampleEncoder, encode=codec.encode) for encoding, codec in _PLAIN.items()
}


def open_decoder(audio_format: AudioFormat) -> Decoder:
    """For one direction of one call. Raises AgentError, saying why, when there can be none."""
    opened = _DECODERS.get(audio_format.encoding)
    if opened is None:
        raise AgentError(f"there is no decoder for {audio_format}")
    _check(audio_format)
    return opened(audio_format.rate_hz)


def open_encoder(audio_format: AudioFormat) -> Encoder:
    """For one direction of one call. Raises AgentError, saying why, when there can be none."""
    opened = _ENCODERS.get(audio_format.encoding)
    if opened is None:
        raise AgentError(f"there is no encoder for {audio_format}")
    _check(audio_format)
    return opened(audio_format.rate_hz)


def decode(payload: bytes, audio_format: AudioFormat) -> Pcm:
    """One payload by itself. Raises CodecError, and AgentError for a codec that remembers."""
    return _plain(audio_format).decode(payload)


def encode(pcm: Pcm, audio_format: AudioFormat) -> bytes:
    """One payload by itself. Raises AgentError for a codec that remembers."""
    return _plain(audio_format).encode(pcm)


def _check(audio_format: AudioFormat) -> None:
    if audio_format.channels != 1:
        raise AgentError(f"{audio_format} has {audio_format.channels} channels: one is needed")


def _plain(audio_format: AudioFormat) -> _Plain:
    codec = _PLAIN.get(audio_format.encoding)
    if codec is None:
        raise AgentError(f"there is no codec for {audio_format} that works without memory")
    return codec
