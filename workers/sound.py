"""What an agent hears, and what it plays."""

from __future__ import annotations

import wave
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.audio import AudioFormat
from common.errors import AgentError
from common.events import AudioReceived
from workers.audio import codecs
from workers.audio.codecs import Pcm

__all__ = ["HeardAudio", "Sound", "wav"]

_INT16_FULL_SCALE = 32_768


class HeardAudio:
    """One frame from the caller. Nothing is decoded until it is looked at.

    `payload` holds the provider's bytes in `format`; `offset_ms` is the time since the stream's
    first sample; `sequence` counts frames from 1; `lost_frames` were missing right before;
    `track` is `inbound` for what the caller says.
    """

    def __init__(self, event: AudioReceived, audio_format: AudioFormat) -> None:
        self.payload = event.payload
        self.format = audio_format
        self.offset_ms = event.offset_ms
        self.sequence = event.sequence
        self.lost_frames = event.lost_frames
        self.track = event.track

    @cached_property
    def pcm(self) -> Pcm:
        """Read-only int16 samples of one channel, shape (samples,), at `format.rate_hz`."""
        pcm = codecs.decode(self.payload, self.format)
        pcm.flags.writeable = False
        return pcm

    @cached_property
    def samples(self) -> NDArray[np.float32]:
        """The same as read-only float32 in [-1, 1]."""
        samples = self.pcm.astype(np.float32)
        samples /= _INT16_FULL_SCALE
        samples.flags.writeable = False
        return samples


class Sound(msgspec.Struct, frozen=True):
    """Audio to play: int16 samples of one channel at `rate_hz`."""

    pcm: Pcm
    rate_hz: int

    @property
    def duration_ms(self) -> float:
        return len(self.pcm) * 1000 / self.rate_hz


def wav(path: str | Path) -> Sound:
    """Read a 16-bit mono WAV file. Raises AgentError, naming the file, when it is none."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate_hz, frames = file.getparams()[:4]
            data = file.readframes(frames)
    except (OSError, EOFError, RuntimeError, wave.Error) as error:
        # The module `wave` says nothing about a file that ends too soon, or whose sizes are wrong.
        raise AgentError(f"{path}: {str(error) or 'damaged, or no WAV file'}") from None
    if channels != 1 or width != 2:
        raise AgentError(f"{path}: expected 16-bit mono, got {8 * width}-bit, {channels} channels")
    if len(data) % 2:
        raise AgentError(f"{path}: truncated: its last sample is half a sample")
    return Sound(np.frombuffer(data, dtype="<i2").astype(np.int16, copy=False), rate_hz)
