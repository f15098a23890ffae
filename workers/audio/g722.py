"""G.722: 7 kHz of speech in 64 kbit/s, by libavcodec.

160 bytes are 20 ms: 16,000 samples a second, although RTP clocks them at 8000 (RFC 3551, 4.5.2).
Every byte builds on those before it, over payloads too; any byte means something.
Reference: ITU-T G.722 (09/2012), mode 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workers.audio.av_codec import NO_SAMPLES, BlockEncoder, PacketDecoder
from workers.audio.blocks import Blocks
from workers.audio.codec import Encoded, Pcm

__all__ = ["DELAY_MS", "RATE_HZ", "G722Decoder", "G722Encoder"]

RATE_HZ = 16_000

#: Of the two filter banks, encoder and decoder together: 22 samples.
DELAY_MS = 1.375

_BIT_RATE = 64_000


class G722Decoder:
    """Raises AgentError when PyAV has none."""

    rate_hz = RATE_HZ

    def __init__(self) -> None:
        self._decoder = PacketDecoder(("g722",), RATE_HZ)

    def decode(self, payload: bytes) -> Pcm:
        """Two samples for each byte."""
        return self._decoder.decode(payload) if payload else NO_SAMPLES


class G722Encoder:
    """Payloads of 20 ms and multiples of it. Raises AgentError when PyAV has none."""

    rate_hz = RATE_HZ

    def __init__(self) -> None:
        self._encoder = BlockEncoder("g722", RATE_HZ, bit_rate=_BIT_RATE, options={})
        self._blocks = Blocks(self._encoder.block_samples)

    def encode(self, pcm: Pcm) -> list[Encoded]:
        return self._joined(self._blocks.take(pcm))

    def flush(self) -> list[Encoded]:
        return self._joined(self._blocks.rest())

    def _joined(self, blocks: NDArray[np.int16]) -> list[Encoded]:
        if not len(blocks):
            return []
        return [Encoded(b"".join(map(self._encoder.encode, blocks)), blocks.size)]
