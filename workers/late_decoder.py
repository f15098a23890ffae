"""A decoder that is opened when first needed, which for most calls of an echo is never."""

from __future__ import annotations

from common.audio import AudioFormat
from workers.audio.codec import Decoder, Pcm
from workers.audio.codecs import open_decoder

__all__ = ["LateDecoder"]


class LateDecoder:
    """Every use may raise AgentError, when there is no decoder for the format."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._decoder: Decoder | None = None

    @property
    def opened(self) -> Decoder:
        if self._decoder is None:
            self._decoder = open_decoder(self.format)
        return self._decoder

    @property
    def rate_hz(self) -> int:
        return self.opened.rate_hz

    def decode(self, payload: bytes) -> Pcm:
        """Raises CodecError."""
        return self.opened.decode(payload)
