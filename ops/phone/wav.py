"""Read and write the WAV files of a phone call: 8 kHz, one channel.

Rule 1: what lies in the file in the call's own encoding goes through untouched, byte for byte.
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
from workers.audio import codecs

__all__ = ["read", "write"]

RATE_HZ = 8000

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


def read(path: Path, target: AudioFormat) -> bytes:
    """The file's audio, encoded as `target`. Raises UsageError."""
    if target.rate_hz != RATE_HZ or not target.is_sliceable:
        raise UsageError(f"{path}: cannot be played as {target} yet")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _fault(path, (error.strerror or str(error)).lower()) from None
    try:
        encoding, audio = _parse(content)
    except ValueError as error:
        raise _fault(path, str(error)) from None
    if encoding is target.encoding:
        return audio
    return codecs.encode(codecs.decode(audio, AudioFormat(encoding, RATE_HZ)), target)


def write(path: Path, audio: bytes, audio_format: AudioFormat) -> None:
    """Raises OSError. The bytes stand in the file as they are."""
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
        ["ffmpeg", "-i", str(path), "-ar", str(RATE_HZ), "-ac", "1", "-c:a", "pcm_s16le"]
    )
    return UsageError(
        f"{path}: {text}; needed is 8 kHz mono WAV: {command} {shlex.quote(str(mended))}"
    )


def _parse(content: bytes) -> tuple[Encoding, bytes]:
    """Raises ValueError saying what is wrong."""
    if not content:
        raise ValueError("the file is empty")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError("not a WAV file (no RIFF/WAVE header)")
    encoding: Encoding | None = None
    position = 12
    while position + 8 <= len(content):
        name = content[position : position + 4]
        (size,) = struct.unpack_from("<I", content, position + 4)
        body = content[position + 8 : position + 8 + size]
        if name == b"fmt ":
            encoding = _check_format(_parse_format(body))
        elif name == b"data":
            if encoding is None:
                raise ValueError("its audio comes before its format")
            return encoding, _check_audio(body, size, encoding)
        position += 8 + size + size % 2
    raise ValueError("holds no audio (no data chunk)")


def _parse_format(body: bytes) -> _Format:
    if len(body) < 16:
        raise ValueError("truncated in its format chunk")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack_from("<H", body, 24)
    return _Format(tag, channels, rate_hz, bits)


def _check_format(found: _Format) -> Encoding:
    encoding = _ENCODINGS.get((found.tag, found.bits))
    if encoding is None:
        name = _NAMES.get(found.tag, f"format {found.tag:#06x}")
        raise ValueError(f"{found.bits}-bit {name}, not 16-bit PCM or 8-bit mu-law")
    if found.channels != 1:
        name = "stereo" if found.channels == 2 else f"{found.channels} channels"
        raise ValueError(f"{name}, not mono")
    if found.rate_hz != RATE_HZ:
        raise ValueError(f"{found.rate_hz / 1000:g} kHz, not 8 kHz")
    return encoding


def _check_audio(audio: bytes, size: int, encoding: Encoding) -> bytes:
    if len(audio) < size:
        raise ValueError(f"truncated: {len(audio)} of {size} audio bytes are there")
    if not audio:
        raise ValueError("holds no audio (its data chunk is empty)")
    if encoding is Encoding.L16 and size % 2:
        raise ValueError("truncated: its last sample is half a sample")
    return audio
