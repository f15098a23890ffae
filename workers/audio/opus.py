"""Opus, one channel, by libopus.

Decoding takes packets of any length the codec has (2.5 to 120 ms), at any rate, of one channel or
two, which it mixes: all that stands in the packet. It gives 48,000 samples a second, which is also
the clock of every Opus stream (RFC 7587, 4.1), whatever rate the format tells.
Encoding makes packets of 20 ms, of one channel. The encoder looks 6.5 ms ahead: as much of the end
of an utterance leaves with whatever is encoded next. References: RFC 6716, RFC 7587.
"""

from __future__ import annotations

from common.errors import AgentError
from workers.audio.av_codec import BlockEncoder, PacketDecoder
from workers.audio.blocks import Blocks
from workers.audio.codec import Encoded, Pcm

__all__ = ["DECODED_HZ", "DELAY_MS", "OpusDecoder", "OpusEncoder"]

DECODED_HZ = 48_000

#: The encoder's look-ahead; the decoder adds nothing.
DELAY_MS = 6.5

# RFC 7587, 3.1.1 has 8-12, 16-20 and 28-40 kbit/s for speech up to 4, 8 and 20 kHz. We pay for
# bytes on a socket, not on the air: the upper ends, and some more where it is still heard.
_BIT_RATES = {8000: 16_000, 12_000: 20_000, 16_000: 24_000, 24_000: 32_000, 48_000: 40_000}

# Not `voip`: against a hum that agents do not have, it cuts into low voices (ops/adr/0004). And
# less effort than the most costs bytes: then speech is coded like music.
_OPTIONS = {"application": "audio", "compression_level": "10", "frame_duration": "20"}


class OpusDecoder:
    """Raises AgentError when PyAV has none."""

    rate_hz = DECODED_HZ

    def __init__(self) -> None:
        self._decoder = PacketDecoder(("libopus", "opus"), DECODED_HZ)

    def decode(self, payload: bytes) -> Pcm:
        """Raises CodecError."""
        return self._decoder.decode(payload)


class OpusEncoder:
    """Raises AgentError when PyAV has none, and for a rate that Opus has not."""

    def __init__(self, rate_hz: int) -> None:
        if rate_hz not in _BIT_RATES:
            known = ", ".join(map(str, _BIT_RATES))
            raise AgentError(f"OPUS/{rate_hz} cannot be encoded: its rates are {known}")
        self.rate_hz = rate_hz
        self._encoder = BlockEncoder(
            "libopus", rate_hz, bit_rate=_BIT_RATES[rate_hz], options=_OPTIONS
        )
        self._blocks = Blocks(self._encoder.block_samples)

    def encode(self, pcm: Pcm) -> list[Encoded]:
        return [self._encoded(block) for block in self._blocks.take(pcm)]

    def flush(self) -> list[Encoded]:
        return [self._encoded(block) for block in self._blocks.rest()]

    def _encoded(self, block: Pcm) -> Encoded:
        return Encoded(self._encoder.encode(block), len(block))
