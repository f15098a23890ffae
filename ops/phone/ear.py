"""How long a payload lasts, told independently of the edge: by its size, or by decoding it.

Opus and AMR-WB come in packets whose bytes tell no time. A provider decodes them to play them, and
so does the phone: what a decoder refuses is no audio of the call's format.
"""

from __future__ import annotations

from common.audio import AudioFormat
from common.errors import CodecError
from ops.phone.dialect import AudioToPlay, Fault, audio_to_play
from workers.audio.codecs import open_decoder

__all__ = ["Ear"]


class Ear:
    """Of one call. Raises AgentError where packets come in a format that nobody can decode."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._decoder = None if audio_format.is_sliceable else open_decoder(audio_format)

    def hear(self, payload: bytes) -> AudioToPlay | Fault:
        if self._decoder is None:
            return audio_to_play(payload, self._format)
        try:
            decoded = len(self._decoder.decode(payload))
        except CodecError as error:
            return Fault(f"{len(payload)} bytes are no packet of {self._format}: {error}")
        return AudioToPlay(payload, decoded * self._format.rate_hz // self._decoder.rate_hz)
