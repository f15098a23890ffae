"""What an agent hears, and what it plays."""

from __future__ import annotations

import wave
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.audio import AudioFormat
from common.errors import AgentError, CodecError
from common.events import AudioReceived
from workers import metrics
from workers.audio.codec import Decoder, Pcm
from workers.audio.resampler import MAX_HZ, MIN_HZ

__all__ = ["Decoded", "HeardAudio", "Sound", "as_pcm", "check_rate", "wav"]

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
    """Audio to play: samples of one channel at `rate_hz`, int16, or float32 in [-1, 1], which
    become int16. Raises AgentError for anything else."""

    pcm: Pcm
    rate_hz: int

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "pcm", as_pcm(self.pcm))
        check_rate(self.rate_hz)

    @property
    def duration_ms(self) -> float:
        return len(self.pcm) * 1000 / self.rate_hz


def as_pcm(samples: Any) -> Pcm:
    """int16 as it is, float32 in [-1, 1] scaled and clipped, the inverse of `HeardAudio.samples`;
    contiguous, as codecs need it. Raises AgentError for others."""
    if not isinstance(samples, np.ndarray):
        raise AgentError(
            f"cannot play a {type(samples).__name__}; what can be is an array of int16 or float32, "
            "a Sound, bytes, or the path of a file"
        )
    if samples.ndim != 1:
        raise AgentError(f"cannot play an array of {samples.ndim} dimensions; one is needed")
    if samples.dtype == np.int16:
        return np.ascontiguousarray(samples)
    if samples.dtype == np.float32:
        scaled = np.rint(np.clip(np.nan_to_num(samples), -1.0, 1.0) * _INT16_FULL_SCALE)
        pcm: Pcm = np.minimum(scaled, _INT16_FULL_SCALE - 1).astype(np.int16)
        return pcm
    raise AgentError(f"cannot play {samples.dtype} samples; int16 or float32 are needed")


def check_rate(rate_hz: int) -> None:
    """Raises AgentError for a sample rate at which nothing can be played."""
    if not isinstance(rate_hz, int) or not MIN_HZ <= rate_hz <= MAX_HZ:
        raise AgentError(f"cannot play at {rate_hz} Hz: it is a whole number, {MIN_HZ} to {MAX_HZ}")


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
