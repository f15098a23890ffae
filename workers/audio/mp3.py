"""MP3, decoded only, as a stream: frames may be torn anywhere between payloads.

Whatever the stream has, its own rate and one channel or two, comes out as one channel at the rate
of the format. An ID3 tag and the frame that only describes the file are left out; a frame that is
damaged is left out too. Files on disk are another matter: they know where they end.
Nothing is encoded, because providers that take MP3 take whole files of it, which agents have.
References: ISO/IEC 11172-3; ID3 tag version 2.4.0, 3.1.
"""

from __future__ import annotations

import av
import numpy as np

from common.errors import CodecError
from workers.audio.av_codec import NO_SAMPLES, create, samples_of
from workers.audio.codec import Pcm

__all__ = ["DELAY_MS", "Mp3Decoder"]

#: Of the decoder, at 44.1 kHz: 529 samples. Encoders add 576 and more, as they like.
DELAY_MS = 12

# Fixed point first: it gives int16.
_DECODERS = ("mp3", "mp3float")

# The longest frame has 1441 bytes. A parser that finds none keeps all it got.
_MAX_BYTES_WITHOUT_FRAME = 8192

# AV_INPUT_BUFFER_PADDING_SIZE. The parser takes a frame's last bytes with so many behind them.
_PADDING = bytes(64)

_TAG = b"ID3"
_TAG_HEAD_BYTES = 10
_TAG_HAS_FOOTER = 0x10

# Where encoders write about the file, in a frame that is silent otherwise.
_ABOUT_FILE = slice(4, 40)


class Mp3Decoder:
    """Raises AgentError when PyAV has none."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._tag = _TagFilter()
        self._begin()

    def decode(self, payload: bytes) -> Pcm:
        """What is whole now, perhaps nothing. Raises CodecError when all that is whole is
        damaged, or when there is no MP3 to be seen."""
        audio = self._tag.strip(payload)
        if not audio:
            return NO_SAMPLES
        self._without_frame += len(audio)
        pcm = self._decode(self._context.parse(_padded(audio)))
        if self._without_frame > _MAX_BYTES_WITHOUT_FRAME:
            self._begin()
            raise CodecError(f"mp3: no frame in {_MAX_BYTES_WITHOUT_FRAME} bytes")
        return pcm

    def flush(self) -> Pcm:
        """The end of the stream; then as new. Raises CodecError."""
        try:
            last = self._decode(self._context.parse(None))
            return np.concatenate([last, *self._drained()])
        finally:
            self._begin()

    def _begin(self) -> None:
        self._context = create(_DECODERS, "r")
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._without_frame = 0

    def _decode(self, packets: list[av.Packet[av.stream.Stream]]) -> Pcm:
        parts: list[Pcm] = []
        damage: av.FFmpegError | None = None
        for packet in packets:
            if _is_about_file(packet):
                self._without_frame = 0
                continue
            try:
                for frame in self._context.decode(packet):
                    parts += self._converted(frame)
                    self._without_frame = 0
            except av.FFmpegError as error:
                damage = error
        if damage and not parts:
            raise CodecError(f"mp3: {damage.strerror}")
        return np.concatenate([NO_SAMPLES, *parts])

    def _converted(self, frame: av.AudioFrame) -> list[Pcm]:
        parts: list[Pcm] = []
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind:  # another file may follow
            parts += self._drained()
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=self.rate_hz)
            self._kind = kind
        return parts + [samples_of(each) for each in self._resampler.resample(frame)]

    def _drained(self) -> list[Pcm]:
        if self._resampler is None:
            return []
        return [samples_of(each) for each in self._resampler.resample(None)]


def _padded(data: bytes) -> memoryview:
    """The same bytes; PyAV has the parser read them where they lie."""
    return memoryview(b"".join((data, _PADDING)))[: len(data)]


class _TagFilter:
    """Leaves out ID3v2 tags: pictures in them would be taken for frames. A tag begins a payload,
    as it begins a file; it may be torn."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def strip(self, payload: bytes) -> bytes:
        data = self._head + payload if self._head else payload
        self._head = b""
        if not self._left and data[:3] == _TAG[: len(data)]:
            if len(data) < _TAG_HEAD_BYTES:
                self._head = data
                return b""
            self._left = _tag_bytes(data)
        skipped = min(self._left, len(data))
        self._left -= skipped
        return data[skipped:]


def _tag_bytes(head: bytes) -> int:
    """Of the whole tag. Its size stands in four bytes of seven bits."""
    size = 0
    for byte in head[6:_TAG_HEAD_BYTES]:
        size = size << 7 | byte & 0x7F
    footer = _TAG_HEAD_BYTES if head[5] & _TAG_HAS_FOOTER else 0
    return _TAG_HEAD_BYTES + size + footer


def _is_about_file(packet: av.Packet[av.stream.Stream]) -> bool:
    start = bytes(packet)[_ABOUT_FILE]
    return b"Xing" in start or b"Info" in start
