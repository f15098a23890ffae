"""A decoder that is opened when first needed, which for most calls of an echo is never."""

from __future__ import annotations

from threading import Lock

from common.audio import AudioFormat
from workers.audio.codec import Decoder, Pcm
from workers.audio.codecs import open_decoder

__all__ = ["LateDecoder"]


class LateDecoder:
    """Every use may raise AgentError, when there is no decoder for the format.

    For any thread: an agent may look at its audio in several, by `call.offload`, and a codec of
    libav that two threads enter ends the process."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._decoder: Decoder | None = None
        self._lock = Lock()

    @property
    def opened(self) -> Decoder:
        """To look at, not to decode with."""
        with self._lock:
            return self._open()

    @property
    def rate_hz(self) -> int:
        return self.opened.rate_hz

    def decode(self, payload: bytes) -> Pcm:
        """Raises CodecError."""
        with self._lock:
            return self._open().decode(payload)

    def _open(self) -> Decoder:
        if self._decoder is None:
            self._decoder = open_decoder(self.format)
        return self._decoder
