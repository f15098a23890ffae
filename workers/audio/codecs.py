"""Encoded bytes <-> int16 samples, by encoding; one codec per file beside this table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from workers.audio import g711

__all__ = ["Pcm", "decode", "encode"]

#: int16 samples of one channel.
Pcm: TypeAlias = NDArray[np.int16]


class _Codec(NamedTuple):
    decode: Callable[[bytes], Pcm]
    encode: Callable[[Pcm], bytes]


def _decode_l16(payload: bytes) -> Pcm:
    return np.frombuffer(payload, dtype="<i2").astype(np.int16, copy=False)


def _encode_l16(pcm: Pcm) -> bytes:
    return pcm.astype("<i2", copy=False).tobytes()


def _decode_l16be(payload: bytes) -> Pcm:
    return np.frombuffer(payload, dtype=">i2").astype(np.int16)


def _encode_l16be(pcm: Pcm) -> bytes:
    return pcm.astype(">i2").tobytes()


_CODECS = {
    Encoding.PCMU: _Codec(g711.decode_mulaw, g711.encode_mulaw),
    Encoding.PCMA: _Codec(g711.decode_alaw, g711.encode_alaw),
    Encoding.L16: _Codec(_decode_l16, _encode_l16),
    Encoding.L16BE: _Codec(_decode_l16be, _encode_l16be),
}


def decode(payload: bytes, audio_format: AudioFormat) -> Pcm:
    """Raises AgentError for a format that no codec is there for."""
    return _codec(audio_format).decode(payload)


def encode(pcm: Pcm, audio_format: AudioFormat) -> bytes:
    """Raises AgentError for a format that no codec is there for."""
    return _codec(audio_format).encode(pcm)


def _codec(audio_format: AudioFormat) -> _Codec:
    codec = _CODECS.get(audio_format.encoding)
    if codec is None:
        raise AgentError(f"there is no codec for {audio_format}")
    return codec
