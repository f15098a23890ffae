"""How long a payload lasts, as far as it says so itself.

Where every byte stands for a stretch of time its size tells; packets of Opus and AMR-WB tell in
their first bytes, which is all that is read of them here. No sample is looked at: the edge, which
dates audio and sends it at the speed at which it is heard, needs no decoder for it.

Rule 1: whatever the bytes, an answer; 0 where they do not tell (MP3), or are no such packet.
Reference: RFC 6716, 3.1 (Opus); RFC 4867, 4.3 and 4.4 (AMR-WB, without interleaving and CRC).
"""

from __future__ import annotations

from collections.abc import Callable

from common.audio import AudioFormat, Encoding

__all__ = ["samples_in"]

# Length of an Opus frame by the five bits of its configuration: SILK, hybrid, CELT.
_OPUS_FRAME_MS = (10, 20, 40, 60) * 3 + (10, 20) * 2 + (2.5, 5, 10, 20) * 4
_OPUS_MAX_MS = 120

# Bits of an AMR-WB frame by its type; what is missing does not exist.
_AMR_WB_BITS = {
    **dict(enumerate((132, 177, 253, 285, 317, 365, 397, 461, 477))),
    9: 40,  # comfort noise
    14: 0,  # lost
    15: 0,  # nothing to send
}
_AMR_WB_FRAME_MS = 20


def samples_in(payload: bytes, audio_format: AudioFormat) -> int:
    """Samples (per channel) that a whole payload lasts, at the format's rate."""
    duration_ms = _DURATION_MS.get(audio_format.encoding)
    if duration_ms is None:
        return audio_format.samples_in(len(payload))
    return audio_format.samples_for_ms(duration_ms(payload))


def _opus_ms(packet: bytes) -> float:
    if not packet:
        return 0
    match packet[0] & 3:
        case 0:
            frames = 1
        case 3 if len(packet) > 1:
            frames = packet[1] & 0x3F
        case 3:
            frames = 0
        case _:
            frames = 2
    length_ms = frames * _OPUS_FRAME_MS[packet[0] >> 3]
    return length_ms if length_ms <= _OPUS_MAX_MS else 0


def _amr_wb_ms(payload: bytes) -> float:
    """A payload does not say how it is packed, but its size fits hardly ever both ways."""
    bits = int.from_bytes(payload)
    frames = _octet_aligned_frames(payload) or _packed_frames(bits, len(payload) * 8)
    return frames * _AMR_WB_FRAME_MS


def _octet_aligned_frames(payload: bytes) -> int:
    """A byte of mode request, a byte a frame, then the frames, each filled up to whole bytes."""
    size = 1
    for number, entry in enumerate(payload[1:], start=1):
        frame_bits = _AMR_WB_BITS.get(entry >> 3 & 15)
        if frame_bits is None or entry & 3 or payload[0] & 15:
            return 0
        size += 1 + -(-frame_bits // 8)
        if not entry & 0x80:  # the last one
            return number if size == len(payload) else 0
    return 0


def _packed_frames(bits: int, count: int) -> int:
    """Four bits of mode request, six a frame, then the frames, without a gap."""
    used = 4
    for number in range(1, (count - 4) // 6 + 1):
        entry = bits >> count - 4 - 6 * number & 0x3F
        frame_bits = _AMR_WB_BITS.get(entry >> 1 & 15)
        if frame_bits is None:
            return 0
        used += 6 + frame_bits
        if not entry & 0x20:  # the last one
            return number if -(-used // 8) * 8 == count else 0
    return 0


_DURATION_MS: dict[Encoding, Callable[[bytes], float]] = {
    Encoding.OPUS: _opus_ms,
    Encoding.AMR_WB: _amr_wb_ms,
}
