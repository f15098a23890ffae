"""Whether the caller speaks: when it began, when it ended.

A voice detector says of each short frame whether it is speech; it errs for a frame now and then.
So speech begins only after some frames of it in a row, and ends only after some without.

Rule 1: another detector can take the place of WebRTC's: it is a `VoiceDetector`, three words.
Rule 2: positions are samples at the rate of what came in, from the first that this object was
        given; they lie where speech began or ended, not where that became certain.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec
import numpy as np
import webrtcvad

from workers.audio.codec import Pcm
from workers.audio.resampler import Resampler

__all__ = [
    "SpeechDetector",
    "SpeechEdge",
    "SpeechStarted",
    "SpeechStopped",
    "VoiceDetector",
    "WebRtcVoice",
]

#: In a row, before it counts: a cough or a click is shorter.
ONSET_MS = 60
#: Without any, before speech has ended: pauses between words are shorter.
HANGOVER_MS = 400

_WEBRTC_HZ = (8000, 16_000)


class SpeechStarted(msgspec.Struct, frozen=True):
    at: int


class SpeechStopped(msgspec.Struct, frozen=True):
    at: int


SpeechEdge: TypeAlias = SpeechStarted | SpeechStopped


class VoiceDetector(Protocol):
    @property
    def rate_hz(self) -> int:
        """Of the samples that it wants."""

    @property
    def frame_samples(self) -> int:
        """That it wants at a time, exactly."""

    def is_speech(self, frame: Pcm) -> bool:
        """Whether the frame is. Frames come in order, one after another."""


class WebRtcVoice:
    """WebRTC's, strict, on 20 ms: with it, noise 9 dB below a voice is still told apart.

    It takes whatever comes first for speech, until it has learned what the noise is like; in the
    meantime nothing is. It looks at nothing above 4 kHz, so 8 kHz are as good as any rate."""

    def __init__(self, rate_hz: int = 8000, *, learning_ms: int = 120) -> None:
        if rate_hz not in _WEBRTC_HZ:
            raise ValueError(f"{rate_hz} Hz is not one of {_WEBRTC_HZ}")
        self.rate_hz = rate_hz
        self.frame_samples = rate_hz // 50
        self._learning = learning_ms * rate_hz // 1000
        self._vad = webrtcvad.Vad(3)

    def is_speech(self, frame: Pcm) -> bool:
        is_speech: bool = self._vad.is_speech(frame.tobytes(), self.rate_hz)
        if self._learning > 0:
            self._learning -= len(frame)
            return False
        return is_speech


class SpeechDetector:
    """Of one track. `is_speaking`: a predecessor has already told that speech began; its end is
    told then, its beginning is not."""

    def __init__(
        self,
        rate_hz: int,
        *,
        onset_ms: int = ONSET_MS,
        hangover_ms: int = HANGOVER_MS,
        is_speaking: bool = False,
        voice: VoiceDetector | None = None,
    ) -> None:
        self._voice = voice or _usual_voice(rate_hz, is_speaking=is_speaking)
        self._rate_hz = rate_hz
        self._resampler = Resampler(rate_hz, self._voice.rate_hz)
        self._pending = np.zeros(0, np.int16)
        self._onset = onset_ms * self._voice.rate_hz // 1000
        self._hangover = hangover_ms * self._voice.rate_hz // 1000
        self._is_speaking = is_speaking
        self._at = 0  # end of the last frame
        self._other_since = 0  # since when every frame has been other than `is_speaking` says

    @property
    def is_speaking(self) -> bool:
        return self._is_speaking

    def process(self, pcm: Pcm) -> list[SpeechEdge]:
        """What has become certain with `pcm`, in order."""
        samples = np.concatenate((self._pending, self._resampler.process(pcm)))
        size = self._voice.frame_samples
        whole = len(samples) // size * size
        self._pending = samples[whole:].copy()  # no view, which would keep all of it
        edges = (self._next(samples[start : start + size]) for start in range(0, whole, size))
        return [edge for edge in edges if edge is not None]

    def _next(self, frame: Pcm) -> SpeechEdge | None:
        self._at += len(frame)
        if self._voice.is_speech(frame) == self._is_speaking:
            self._other_since = self._at
            return None
        needed = self._hangover if self._is_speaking else self._onset
        if self._at - self._other_since < needed:
            return None
        at = self._other_since * self._rate_hz // self._voice.rate_hz
        self._is_speaking = not self._is_speaking
        self._other_since = self._at
        return SpeechStarted(at) if self._is_speaking else SpeechStopped(at)


def _usual_voice(rate_hz: int, *, is_speaking: bool) -> WebRtcVoice:
    voice_hz = rate_hz if rate_hz in _WEBRTC_HZ else _WEBRTC_HZ[0]
    # In the middle of speech, to hear nothing for a while might look like its end.
    return WebRtcVoice(voice_hz, learning_ms=0) if is_speaking else WebRtcVoice(voice_hz)
