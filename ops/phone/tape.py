"""What was received to be heard, end to end: bytes on one side, time in samples on the other.

Where bytes and time are proportional a position may lie anywhere. Packets (Opus, AMR-WB) stay
whole: one that has begun counts with all its bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import NamedTuple

from common.audio import AudioFormat

__all__ = ["Tape"]


class _Packet(NamedTuple):
    """Where it ends."""

    sample: int
    byte: int


class Tape:
    """`samples`: how long it is."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.samples = 0
        self._format = audio_format
        self._bytes = bytearray()
        self._packets: list[_Packet] = []  # none where any byte can be the last

    def __len__(self) -> int:
        """In bytes."""
        return len(self._bytes)

    def append(self, payload: bytes, samples: int) -> None:
        self._bytes += payload
        self.samples += samples
        if not self._format.is_sliceable:
            self._packets.append(_Packet(self.samples, len(self._bytes)))

    def size(self, samples: int) -> int:
        """How many bytes its first samples take."""
        if samples >= self.samples:
            return len(self._bytes)
        if not self._packets:
            return self._format.bytes_for(samples)
        return self._packets[self._last_packet(samples)].byte if samples > 0 else 0

    def payloads(self, samples: int) -> list[bytes]:
        """Its first samples as a decoder wants them: packet by packet, or in one piece."""
        if samples <= 0 or not self._bytes:
            return []
        if not self._packets:
            return [bytes(self._bytes[: self.size(samples)])]
        ends = [0, *(packet.byte for packet in self._packets[: self._last_packet(samples) + 1])]
        return [bytes(self._bytes[begin:end]) for begin, end in pairwise(ends)]

    def cut(self, samples: int) -> None:
        """Forget all but its first samples."""
        del self._bytes[self.size(samples) :]
        if self._packets and samples <= 0:
            self._packets.clear()
        elif self._packets and samples < self.samples:
            del self._packets[self._last_packet(samples) + 1 :]
            self._packets[-1] = _Packet(samples, len(self._bytes))
        self.samples = min(self.samples, max(samples, 0))

    def _last_packet(self, samples: int) -> int:
        """The packet in which the sample before this position lies."""
        found = bisect_left(self._packets, samples, key=lambda packet: packet.sample)
        return min(found, len(self._packets) - 1)
