"""What an agent hears, and what it plays."""

from __future__ import annotations

import wave
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.audio import AudioFormat
from common.errors import AgentError, CodecError
from common.events import AudioReceived
from workers import metrics
from workers.audio.codec import Decoder, Pcm

__all__ = ["Decoded", "HeardAudio", "Sound", "wav"]

_INT16_FULL_SCALE = 32_768


class Decoded(NamedTuple):
    """A decoder that has done its work."""

    rate_hz: int
    pcm: Pcm

    def decode(self, payload: bytes) -> Pcm:
        return self.pcm


class HeardAudio:
    """A stretch of what the caller said, usually one frame of 20 ms.

    `payload` holds the provider's bytes in `format`; `offset_ms` is the time since the stream's
    first sample; `sequence` counts frames from 1; `lost_frames` were missing right before;
    `track` is `inbound` for what the caller says. `is_concealed`: nothing usable came, the samples
    are made up of those before and fade to silence; no `payload` then, where it was lost.
    """

    def __init__(
        self,
        event: AudioReceived,
        audio_format: AudioFormat,
        decoder: Decoder,
        *,
        is_concealed: bool = False,
    ) -> None:
        self.payload = event.payload
        self.format = audio_format
        self.offset_ms = event.offset_ms
        self.sequence = event.sequence
        self.lost_frames = event.lost_frames
        self.track = event.track
        self.is_concealed = is_concealed
        self._decoder = decoder

    @property
    def rate_hz(self) -> int:
        """Of `pcm` and `samples`: that of the agent's `listen`; without one, the codec's own."""
        return self._decoder.rate_hz

    @property
    def duration_ms(self) -> float:
        return len(self.pcm) * 1000 / self.rate_hz

    @cached_property
    def pcm(self) -> Pcm:
        """Read-only int16 samples of one channel, shape (samples,), at `rate_hz`. An agent with
        `listen` gets them decoded; without, they are decoded when first looked at, and there are
        none when that fails."""
        try:
            pcm = self._decoder.decode(self.payload)
        except CodecError:
            metrics.PAYLOADS_REFUSED.inc()
            pcm = np.zeros(0, np.int16)
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
