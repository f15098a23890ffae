"""What a codec is: a decoder for what is heard, an encoder for what is played; one codec per file.

Both belong to one direction of one call: codecs remember, so that payloads join without a click.

Rule 1: samples are int16 of one channel, at the `rate_hz` of the decoder or encoder, whatever the
        RTP clock of the format; another rate is the resampler's work.
Rule 2: a damaged payload is a CodecError and leaves the codec fit for the next one.
Rule 3: what an encoder gives are payloads as they leave: one message, one RTP payload each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoder", "Encoded", "Encoder", "Pcm", "SampleDecoder", "SampleEncoder"]

#: int16 samples of one channel, shape (samples,).
Pcm: TypeAlias = NDArray[np.int16]


class Encoded(NamedTuple):
    """`samples`: how long the payload lasts, in samples at its format's `rate_hz`."""

    payload: bytes
    samples: int


class Decoder(Protocol):
    @property
    def rate_hz(self) -> int:
        """Of the samples that `decode` gives; it never changes."""

    def decode(self, payload: bytes) -> Pcm:
        """What the payload adds to the audio; read-only where that saves a copy. Raises
        CodecError."""


class Encoder(Protocol):
    @property
    def rate_hz(self) -> int:
        """Of the samples that `encode` wants; it never changes."""

    def encode(self, pcm: Pcm) -> list[Encoded]:
        """The payloads that are full now; what fills none is kept for the next call."""

    def flush(self) -> list[Encoded]:
        """What was kept, filled up with silence; nothing when nothing was."""


class SampleDecoder:
    """For a codec without memory: every sample stands for itself."""

    def __init__(self, rate_hz: int, decode: Callable[[bytes], Pcm]) -> None:
        self.rate_hz = rate_hz
        self.decode = decode


class SampleEncoder:
    """For a codec without memory: one payload for each call."""

    def __init__(self, rate_hz: int, encode: Callable[[Pcm], bytes]) -> None:
        self.rate_hz = rate_hz
        self._encode = encode

    def encode(self, pcm: Pcm) -> list[Encoded]:
        return [Encoded(self._encode(pcm), len(pcm))] if len(pcm) else []

    def flush(self) -> list[Encoded]:
        return []
