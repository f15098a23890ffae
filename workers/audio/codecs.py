"""Which codec an encoding has; one codec per file beside this table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from workers.audio import g711, l16
from workers.audio.amr_wb import AmrWbDecoder, AmrWbEncoder
from workers.audio.codec import Decoder, Encoder, Pcm, SampleDecoder, SampleEncoder
from workers.audio.g722 import G722Decoder, G722Encoder
from workers.audio.mp3 import Mp3Decoder
from workers.audio.opus import OpusDecoder, OpusEncoder

__all__ = ["Pcm", "decode", "encode", "follow", "open_decoder", "open_encoder"]

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
    **{key: partial(SampleDecoder, decode=codec.decode) for key, codec in _PLAIN.items()},
    Encoding.G722: lambda rate_hz: G722Decoder(),
    Encoding.OPUS: lambda rate_hz: OpusDecoder(),
    Encoding.AMR_WB: lambda rate_hz: AmrWbDecoder(),
    Encoding.MP3: Mp3Decoder,
}
_ENCODERS: dict[Encoding, _OpenEncoder] = {
    **{key: partial(SampleEncoder, encode=codec.encode) for key, codec in _PLAIN.items()},
    Encoding.G722: lambda rate_hz: G722Encoder(),
    Encoding.OPUS: OpusEncoder,
    Encoding.AMR_WB: AmrWbEncoder,
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


def follow(encoder: Encoder, decoder: Decoder) -> None:
    """Have the encoder of a call obey what the other side's payloads ask for, as far as they were
    decoded. Only AMR-WB asks for anything: for a mode, and a packing like its own."""
    if isinstance(encoder, AmrWbEncoder) and isinstance(decoder, AmrWbDecoder):
        encoder.follow(decoder)


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
