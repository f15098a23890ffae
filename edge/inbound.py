"""Number the caller's audio and date it by counting samples, whatever timestamps the provider
sends: those can jump, wrap and lie."""

from __future__ import annotations

from common.audio import AudioFormat
from common.errors import MessageError
from common.events import AudioReceived

__all__ = ["InboundAudio"]


class InboundAudio:
    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._sequence = 0
        self._samples = 0

    def received(self, payload: bytes, *, lost_frames: int = 0) -> AudioReceived:
        """The next frame. Frames lost before it are taken to have been as long as this one, so
        that time stays true. Raises MessageError for a frame without audio."""
        if not payload:
            raise MessageError("empty")
        samples = self._format.samples_in(len(payload))
        self._sequence += 1 + lost_frames
        self._samples += samples * lost_frames
        offset_ms = int(self._format.ms(self._samples))
        self._samples += samples
        return AudioReceived(payload, offset_ms, self._sequence, lost_frames)
