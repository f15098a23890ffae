"""Read and write the WAV files of a phone call: one channel, 16-bit PCM, mu-law or A-law.

Rule 1: what lies in the file in the call's own encoding and at its rate goes through untouched,
        byte for byte; WAV has no L16 in network byte order, so its bytes change places.
Rule 2: every fault is one line that says what is wrong and the ffmpeg command that mends it.
Reference: RIFF/WAVE multimedia programming interface 1.0 and its 1994 update (`fact`, formats).
"""

from __future__ import annotations

import shlex
import struct
from pathlib import Path
from typing import NamedTuple

from common.audio import AudioFormat, Encoding
from common.errors import UsageError
from ops.phone.resample import resample
from workers.audio import codecs

__all__ = ["can_hold", "read", "write"]

_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

# Format tags of a WAVE file and the bits per sample that go with them.
_ENCODINGS = {
    (1, 16): Encoding.L16,
    (6, 8): Encoding.PCMA,
    (7, 8): Encoding.PCMU,
}
_TAGS = {encoding: tag_and_bits for tag_and_bits, encoding in _ENCODINGS.items()}
_EXTENSIBLE = 0xFFFE  # the tag proper stands in the first two bytes of a GUID
_NAMES = {1: "PCM", 3: "floating point", 6: "A-law", 7: "mu-law", 0x55: "MP3"}


class _Format(NamedTuple):
    tag: int
    channels: int
    rate_hz: int
    bits: int


def can_hold(audio_format: AudioFormat) -> bool:
    """Whether a file can have the audio in it sample by sample."""
    return audio_format.encoding in _TAGS or audio_format.encoding is Encoding.L16BE


def read(path: Path, target: AudioFormat) -> bytes:
    """The file's audio, encoded as `target`, which a file can hold. Raises UsageError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    try:
        found, audio = _parse(content)
    except ValueError as error:
        raise _fault(path, str(error)) from None
    if found == target:
        return audio
    pcm = codecs.decode(audio, found)
    return codecs.encode(resample(pcm, found.rate_hz, target.rate_hz), target)


def write(path: Path, audio: bytes, audio_format: AudioFormat) -> None:
    """Raises OSError. The bytes stand in the file as they are, see rule 1; a file has to be able
    to hold their format."""
    if audio_format.encoding is Encoding.L16BE:
        plain = AudioFormat(Encoding.L16, audio_format.rate_hz, audio_format.channels)
        write(path, codecs.encode(codecs.decode(audio, audio_format), plain), plain)
        return
    tag, bits = _TAGS[audio_format.encoding]
    block = bits // 8 * audio_format.channels
    rate = audio_format.rate_hz
    layout = struct.pack("<HHIIHHH", tag, audio_format.channels, rate, rate * block, block, bits, 0)
    chunks = (
        _chunk(b"fmt ", layout)
        + _chunk(b"fact", struct.pack("<I", len(audio) // block))
        + _chunk(b"data", audio)
    )
    path.write_bytes(_chunk(b"RIFF", b"WAVE" + chunks))


def _chunk(name: bytes, content: bytes) -> bytes:
    padding = b"\0" * (len(content) % 2)
    return name + struct.pack("<I", len(content)) + content + padding


def _fault(path: Path, text: str) -> UsageError:
    mended = path.with_name(f"{path.stem}-8k.wav")
    command = shlex.join(
        ["ffmpeg", "-i", str(path), "-ar", "8000", "-ac", "1", "-c:a", "pcm_s16le", str(mended)]
    )
    return UsageError(f"{path}: {text}; needed is mono WAV at a usual rate: {command}")


def _parse(content: bytes) -> tuple[AudioFormat, bytes]:
    """Raises ValueError saying what is wrong."""
    if not content:
        raise ValueError("the file is empty")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError("not a WAV file (no RIFF/WAVE header)")
    audio_format: AudioFormat | None = None
    position = 12
    while position + 8 <= len(content):
        name = content[position : position + 4]
        (size,) = struct.unpack_from("<I", content, position + 4)
        body = content[position + 8 : position + 8 + size]
        if name == b"fmt ":
            audio_format = _check_format(_parse_format(body))
        elif name == b"data":
            if audio_format is None:
                raise ValueError("its audio comes before its format")
            return audio_format, _check_audio(body, size, audio_format)
        position += 8 + size + size % 2
    raise ValueError("holds no audio (no data chunk)")


def _parse_format(body: bytes) -> _Format:
    if len(body) < 16:
        raise ValueError("truncated in its format chunk")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack_from("<H", body, 24)
    return _Format(tag, channels, rate_hz, bits)


def _check_format(found: _Format) -> AudioFormat:
    encoding = _ENCODINGS.get((found.tag, found.bits))
    if encoding is None:
        name = _NAMES.get(found.tag, f"format {found.tag:#06x}")
        raise ValueError(f"{found.bits}-bit {name}, not 16-bit PCM, 8-bit mu-law or A-law")
    if found.channels != 1:
        name = "stereo" if found.channels == 2 else f"{found.channels} channels"
        raise ValueError(f"{name}, not mono")
    if found.rate_hz not in _RATES_HZ:
        usual = " ".join(f"{rate_hz / 1000:g}" for rate_hz in _RATES_HZ)
        raise ValueError(f"{found.rate_hz / 1000:g} kHz, none of {usual}")
    return AudioFormat(encoding, found.rate_hz)


def _check_audio(audio: bytes, size: int, audio_format: AudioFormat) -> bytes:
    if len(audio) < size:
        raise ValueError(f"truncated: {len(audio)} of {size} audio bytes are there")
    if not audio:
        raise ValueError("holds no audio (its data chunk is empty)")
    if audio_format.torn_bytes(size):
        raise ValueError("truncated: its last sample is half a sample")
    return audio
