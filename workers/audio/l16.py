"""L16: 16-bit linear samples as bytes, in either byte order.

RFC 3551 (4.5.11) has network byte order; most providers send little-endian.
"""

from __future__ import annotations

import numpy as np

from common.errors import CodecError
from workers.audio.codec import Pcm

__all__ = ["decode_big", "decode_little", "encode_big", "encode_little"]


def decode_little(payload: bytes) -> Pcm:
    """Read-only, the payload's own bytes. Raises CodecError."""
    return _words(payload, "<i2").astype(np.int16, copy=False)


def encode_little(pcm: Pcm) -> bytes:
    return pcm.astype("<i2", copy=False).tobytes()


def decode_big(payload: bytes) -> Pcm:
    """Raises CodecError."""
    return _words(payload, ">i2").astype(np.int16)


def encode_big(pcm: Pcm) -> bytes:
    return pcm.astype(">i2").tobytes()


def _words(payload: bytes, dtype: str) -> Pcm:
    if len(payload) % 2:
        raise CodecError("the last sample of L16 is half a sample")
    return np.frombuffer(payload, dtype)
