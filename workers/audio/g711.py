"""G.711: mu-law and A-law bytes <-> 16-bit linear samples.

Both laws compress 14 (mu-law) or 13 (A-law) bits; the bits below are cut by an arithmetic shift, as
in the reference code of Sun Microsystems, so results equal those of Python's former `audioop`.
Every conversion is one look-up per sample: 65,536 entries to encode, 256 to decode.
Reference: ITU-T G.711 (11/1988), tables 1a to 2b.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workers.audio.codec import Pcm

__all__ = ["decode_alaw", "decode_mulaw", "encode_alaw", "encode_mulaw"]

# Moves every mu-law segment boundary to a power of two, in units of 14 bits.
_MULAW_BIAS = 33
_MULAW_MAX = 0x1FFF
_ALAW_MAX = 0x0FFF


def encode_mulaw(samples: Pcm) -> bytes:
    return _MULAW_OF[_as_index(samples)].tobytes()


def decode_mulaw(payload: bytes) -> Pcm:
    return _SAMPLE_OF_MULAW[np.frombuffer(payload, np.uint8)]


def encode_alaw(samples: Pcm) -> bytes:
    return _ALAW_OF[_as_index(samples)].tobytes()


def decode_alaw(payload: bytes) -> Pcm:
    return _SAMPLE_OF_ALAW[np.frombuffer(payload, np.uint8)]


def _as_index(samples: Pcm) -> NDArray[np.uint16]:
    if samples.dtype != np.int16:  # a view of anything else would be noise, not an error
        raise TypeError(f"G.711 encodes int16 samples, not {samples.dtype}")
    return samples.view(np.uint16)


def _segment(magnitude: NDArray[np.int32], first_bits: int) -> NDArray[np.int32]:
    """Number of the segment: how many bits longer than `first_bits` a magnitude is."""
    bits = np.frexp(magnitude)[1].astype(np.int32)
    return np.maximum(bits - first_bits, 0)


def _mulaw_table() -> NDArray[np.uint8]:
    linear = _every_sample() >> 2
    magnitude = np.minimum(np.abs(linear) + _MULAW_BIAS, _MULAW_MAX)
    segment = _segment(magnitude, 6)
    code = segment << 4 | (magnitude >> (segment + 1)) & 0x0F
    table: NDArray[np.uint8] = (code ^ np.where(linear < 0, 0x7F, 0xFF)).astype(np.uint8)
    return table


def _alaw_table() -> NDArray[np.uint8]:
    linear = _every_sample() >> 3
    magnitude = np.minimum(np.where(linear < 0, ~linear, linear), _ALAW_MAX)
    segment = _segment(magnitude, 5)
    code = segment << 4 | (magnitude >> np.maximum(segment, 1)) & 0x0F
    table: NDArray[np.uint8] = (code ^ np.where(linear < 0, 0x55, 0xD5)).astype(np.uint8)
    return table


def _mulaw_samples() -> Pcm:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    biased = ((code & 0x0F) << 3) + (_MULAW_BIAS << 2) << (code >> 4 & 7)
    magnitude = biased - (_MULAW_BIAS << 2)
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_samples() -> Pcm:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = code >> 4 & 7
    step = ((code & 0x0F) << 4) + np.where(segment == 0, 0x008, 0x108)
    magnitude = step << np.maximum(segment - 1, 0)
    samples: Pcm = np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
    return samples


def _every_sample() -> NDArray[np.int32]:
    """All int16 values, ordered by their bits read as unsigned: 0 .. 32767, -32768 .. -1."""
    return np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)


_MULAW_OF = _mulaw_table()
_ALAW_OF = _alaw_table()
_SAMPLE_OF_MULAW = _mulaw_samples()
_SAMPLE_OF_ALAW = _alaw_samples()
