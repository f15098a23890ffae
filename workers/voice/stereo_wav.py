"""A WAV file of two channels, written at any place while the call runs, and valid at any moment.

Rule 1: each write reaches the kernel at once, so a process that dies leaves all of it. It is a few
        hundred samples into the page cache, some 10 us, which is less than a thread would cost.
Rule 2: the sizes in the header are those of a second ago at worst, and never beyond the end.
Rule 3: what nobody has written is silence.
"""

from __future__ import annotations

import os
import struct
import weakref
from pathlib import Path

import numpy as np

from workers.audio.codec import Pcm

__all__ = ["LEFT", "RIGHT", "StereoWav"]

LEFT, RIGHT = 0, 1

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_CHANNELS = 2
_FRAME_BYTES = 2 * _CHANNELS  # one sample of each channel
_LARGEST = 0xFFFF_FFFF


class StereoWav:
    """The file at `path`, gone on with where there is one. Everything may raise OSError. The file
    is closed with the object, in case nobody has come to close it."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._closing = weakref.finalize(self, os.close, self._fd)
        self._rate_hz = rate_hz
        size = os.fstat(self._fd).st_size
        self._frames = max(0, size - _HEADER.size) // _FRAME_BYTES
        self._told = 0  # of them in the header
        self._write_header()
        os.ftruncate(self._fd, _offset(self._frames))  # a full disk may have torn the last one

    @property
    def frames(self) -> int:
        """How long the file is, in samples of one channel."""
        return self._frames

    def write(self, channel: int, position: int, pcm: Pcm) -> None:
        """`pcm` from sample `position` on; the other channel stays as it is."""
        if not len(pcm):
            return
        offset = _offset(position)
        size = len(pcm) * _FRAME_BYTES
        written = os.pread(self._fd, size, offset).ljust(size, b"\0")
        frames = np.frombuffer(written, "<i2").reshape(-1, _CHANNELS).copy()
        frames[:, channel] = pcm
        os.pwrite(self._fd, frames.tobytes(), offset)
        self._frames = max(self._frames, position + len(pcm))
        if self._frames - self._told >= self._rate_hz:
            self._write_header()

    def cut(self, position: int) -> None:
        """Forget both channels from there on."""
        if position < self._frames:
            self._frames = position
            self._write_header()  # first, so that it never promises too much
            os.ftruncate(self._fd, _offset(position))

    def close(self) -> None:
        if self._closing.alive:
            self._write_header()
            self._closing()

    def _write_header(self) -> None:
        size = min(self._frames * _FRAME_BYTES, _LARGEST - _HEADER.size)
        header = _HEADER.pack(
            *(b"RIFF", size + _HEADER.size - 8, b"WAVE"),
            *(b"fmt ", 16, 1, _CHANNELS, self._rate_hz),
            *(self._rate_hz * _FRAME_BYTES, _FRAME_BYTES, 16),
            *(b"data", size),
        )
        os.pwrite(self._fd, header, 0)
        self._told = self._frames


def _offset(position: int) -> int:
    return _HEADER.size + position * _FRAME_BYTES
