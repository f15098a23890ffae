"""RFC 4867's RTP payload of AMR-WB: a mode request, a table of contents, the frames' bits.

Both packings are one sequence of fields; octet-aligned fills up each field to whole bytes with
zeros, bandwidth-efficient only the whole. Which of them a call has is agreed on outside of the
payload (SDP's `octet-align`), but payloads nearly always tell: the length of a single frame fits
one of them, and what must be zero in the other is not.

Rule 1: what does not add up to the last bit raises CodecError; nothing else is ever raised.
Rule 2: bits that must be zero are ignored, as the RFC demands, but for telling the packing.
Left out, as they need SDP to be agreed on: CRCs, interleaving, several channels (4.4.1, 4.4.2).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from common.errors import CodecError

__all__ = [
    "MAX_FRAMES",
    "NO_DATA",
    "NO_REQUEST",
    "SID",
    "SPEECH_MODES",
    "Frame",
    "Packing",
    "Payload",
    "pack",
    "unpack",
    "unpack_either",
]

#: More than any telephone sends at a time: one second.
MAX_FRAMES = 50

#: Speech modes are the frame types 0 (6.60 kbit/s) to 8 (23.85 kbit/s); 3GPP TS 26.201, table 1a.
SPEECH_MODES = range(9)
SID = 9  # comfort noise
NO_DATA = 15
NO_REQUEST = 15  # of a mode

# Bits of a frame, by type: speech, SID, lost and no data. 10 to 13 are for future use.
_SPEECH_BITS = (132, 177, 253, 285, 317, 365, 397, 461, 477)
_FRAME_BITS = {**dict(enumerate(_SPEECH_BITS)), SID: 40, 14: 0, NO_DATA: 0}


class Packing(StrEnum):
    BANDWIDTH_EFFICIENT = "bandwidth-efficient"
    OCTET_ALIGNED = "octet-aligned"

    @property
    def other(self) -> Packing:
        return _OTHER[self]


_OTHER = {
    Packing.BANDWIDTH_EFFICIENT: Packing.OCTET_ALIGNED,
    Packing.OCTET_ALIGNED: Packing.BANDWIDTH_EFFICIENT,
}


class Frame(NamedTuple):
    """20 ms. `bits` is filled up with zeros to whole bytes; `is_good`: not damaged on its way."""

    type: int
    is_good: bool
    bits: bytes


class Payload(NamedTuple):
    """`is_clean`: everything that must be zero is zero."""

    mode_request: int
    frames: tuple[Frame, ...]
    is_clean: bool = True


def pack(payload: Payload, packing: Packing) -> bytes:
    is_aligned = packing is Packing.OCTET_ALIGNED
    fields = _Writer()
    fields.put(payload.mode_request, 4)
    fields.fill(is_aligned)
    for number, frame in enumerate(payload.frames, start=1):
        fields.put(number < len(payload.frames), 1)
        fields.put(frame.type, 4)
        fields.put(frame.is_good, 1)
        fields.fill(is_aligned)
    for frame in payload.frames:
        count = _FRAME_BITS[frame.type]
        fields.put(int.from_bytes(frame.bits) >> (-count % 8), count)
        fields.fill(is_aligned)
    fields.fill(True)
    return fields.to_bytes()


def unpack(data: bytes, packing: Packing) -> Payload:
    """Raises CodecError."""
    is_aligned = packing is Packing.OCTET_ALIGNED
    fields = _Reader(data)
    mode_request = fields.take(4)
    fields.skip_filling(is_aligned)
    contents: list[tuple[int, bool]] = []
    follows = True
    while follows:
        follows = bool(fields.take(1))
        contents.append((fields.take(4), bool(fields.take(1))))
        fields.skip_filling(is_aligned)
        if len(contents) > MAX_FRAMES:
            raise CodecError(f"AMR-WB: more than {MAX_FRAMES} frames in a payload")
    frames: list[Frame] = []
    for frame_type, is_good in contents:
        count = _FRAME_BITS.get(frame_type)
        if count is None:
            raise CodecError(f"AMR-WB: frame type {frame_type} is none")
        bits = fields.take(count) << (-count % 8)
        frames.append(Frame(frame_type, is_good, bits.to_bytes((count + 7) // 8)))
        fields.skip_filling(is_aligned)
    fields.skip_filling(True)
    if fields.left:
        raise CodecError(f"AMR-WB: {fields.left // 8} bytes too many")
    return Payload(mode_request, tuple(frames), fields.is_clean)


def unpack_either(data: bytes, likely: Packing) -> tuple[Payload, Packing]:
    """As the packing of which `data` keeps every rule; as `likely` where that is no help. Raises
    CodecError, of the likely packing."""
    try:
        payload = unpack(data, likely)
    except CodecError:
        try:
            return unpack(data, likely.other), likely.other
        except CodecError:
            pass
        raise
    if not payload.is_clean:
        try:
            other = unpack(data, likely.other)
        except CodecError:
            return payload, likely
        if other.is_clean:
            return other, likely.other
    return payload, likely


class _Writer:
    """Fields of any number of bits, the first in the highest."""

    def __init__(self) -> None:
        self._value = 0
        self._count = 0

    def put(self, value: int, bits: int) -> None:
        self._value = self._value << bits | value
        self._count += bits

    def fill(self, is_wanted: bool) -> None:
        """With zeros, to a whole byte."""
        if is_wanted:
            self.put(0, -self._count % 8)

    def to_bytes(self) -> bytes:
        return self._value.to_bytes(self._count // 8)


class _Reader:
    """`left`: bits not yet read; `is_clean`: all filling was zero."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self.left = 8 * len(data)
        self.is_clean = True

    def take(self, bits: int) -> int:
        if bits > self.left:
            raise CodecError(f"AMR-WB: {(bits - self.left + 7) // 8} bytes are missing")
        self.left -= bits
        return self._value >> self.left & (1 << bits) - 1

    def skip_filling(self, is_wanted: bool) -> None:
        if is_wanted and self.take(self.left % 8):
            self.is_clean = False
