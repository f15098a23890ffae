"""Audio formats and the arithmetic between bytes, samples and time.

Rule 1: nothing here looks at a sample value; signal processing lives in `workers/audio/`.
Rule 2: positions are counted in samples of one channel; milliseconds appear only at the rim.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["AudioFormat", "Encoding"]


class Encoding(StrEnum):
    """How samples are packed on the wire. Names follow RFC 3551 and RFC 4867."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    L16 = "L16"  # little-endian, as most providers send it
    L16BE = "L16BE"  # network byte order, as RFC 3551 has it
    G722 = "G722"
    OPUS = "OPUS"
    AMR_WB = "AMR-WB"
    MP3 = "MP3"


# Bytes per 1,000 samples, for encodings in which every byte stands for a fixed stretch of time.
_BYTES_PER_1000_SAMPLES = {
    Encoding.PCMU: 1000,
    Encoding.PCMA: 1000,
    Encoding.L16: 2000,
    Encoding.L16BE: 2000,
    Encoding.G722: 500,
}

# Where a sample takes more than one byte, so that one may come in two pieces.
_SAMPLE_BYTES = {Encoding.L16: 2, Encoding.L16BE: 2}

_SILENCE = {
    Encoding.PCMU: b"\xff",
    Encoding.PCMA: b"\xd5",
    Encoding.L16: b"\x00",
    Encoding.L16BE: b"\x00",
    Encoding.G722: b"\xff",  # the smallest steps: what was heard before dies down within 5 ms
}


#: Providers announce 8000, its RTP clock, an old mistake (RFC 3551, 4.5.2); there are more samples.
_G722_HZ = 16_000


class AudioFormat(msgspec.Struct, frozen=True, array_like=True):
    """What a stretch of audio bytes means: encoding, samples per second, channels (interleaved).
    G.722 has 16,000 samples a second, whatever it is told to have."""

    encoding: Encoding
    rate_hz: int
    channels: int = 1

    def __post_init__(self) -> None:
        if self.encoding is Encoding.G722 and self.rate_hz != _G722_HZ:
            msgspec.structs.force_setattr(self, "rate_hz", _G722_HZ)

    @classmethod
    def pcm(cls, rate_hz: int) -> AudioFormat:
        """16-bit little-endian linear samples, one channel."""
        return cls(Encoding.L16, rate_hz)

    @classmethod
    def parse(cls, text: str) -> AudioFormat:
        """The inverse of `str()` for one channel: `L16/24000`, `PCMU/8000`. Raises ValueError."""
        name, _, rate = text.partition("/")
        if not rate.isdecimal() or not 8000 <= int(rate) <= 48_000:
            raise ValueError("expected ENCODING/HZ with 8000 to 48000 Hz, like PCMU/8000")
        try:
            encoding = Encoding(name.upper())
        except ValueError:
            known = ", ".join(Encoding)
            raise ValueError(f"expected one of {known} before the slash") from None
        return cls(encoding, int(rate))

    @classmethod
    def pcmu(cls, rate_hz: int = 8000) -> AudioFormat:
        """G.711 mu-law, one channel."""
        return cls(Encoding.PCMU, rate_hz)

    @property
    def is_sliceable(self) -> bool:
        """Whether bytes and time are proportional, so that a payload may be cut at any sample."""
        return self.encoding in _BYTES_PER_1000_SAMPLES

    def samples_in(self, size_bytes: int) -> int:
        """Whole samples (per channel) in `size_bytes`; 0 where only a decoder could tell."""
        per_1000 = _BYTES_PER_1000_SAMPLES.get(self.encoding)
        if per_1000 is None:
            return 0
        return size_bytes * 1000 // (per_1000 * self.channels)

    def torn_bytes(self, size_bytes: int) -> int:
        """How many of `size_bytes` belong to a sample that is not complete."""
        sample_bytes = _SAMPLE_BYTES.get(self.encoding)
        return size_bytes % (sample_bytes * self.channels) if sample_bytes else 0

    def bytes_for(self, samples: int) -> int:
        """Bytes that `samples` samples (per channel) take; ValueError where it is not fixed."""
        per_1000 = _BYTES_PER_1000_SAMPLES.get(self.encoding)
        if per_1000 is None:
            raise ValueError(f"{self.encoding} has no fixed number of bytes per sample")
        return samples * per_1000 * self.channels // 1000

    def samples_for_ms(self, ms: float) -> int:
        return round(ms * self.rate_hz / 1000)

    def ms(self, samples: int) -> float:
        return samples * 1000 / self.rate_hz

    @property
    def has_silence(self) -> bool:
        """Whether a byte exists that means silence."""
        return self.encoding in _SILENCE

    def silence(self, size_bytes: int) -> bytes:
        """`size_bytes` of silence; ValueError for encodings that have no silent byte."""
        byte = _SILENCE.get(self.encoding)
        if byte is None:
            raise ValueError(f"{self.encoding} has no byte that means silence")
        return byte * size_bytes

    def __str__(self) -> str:
        channels = "" if self.channels == 1 else f"/{self.channels}"
        return f"{self.encoding}/{self.rate_hz}{channels}"
