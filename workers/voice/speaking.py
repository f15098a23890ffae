"""From what an agent plays to what the provider is sent: resampled, encoded, cut; per call.

Rule 1: a `Sound` is whole. It is encoded by itself, to its very end, and padded there if need be.
Rule 2: arrays are a stream. What does not fill a packet waits for the next array; whatever else
        the call is asked for afterwards flushes it, a clear drops it.
Rule 3: bytes are encoded already and pass as they are.
Rule 4: codecs and filters belong to the process, a new owner begins with fresh ones. Where less
        than a packet has waited, that much silence takes its place: so time stays true, and a
        handler that is run again makes as many packets as before.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from common import packets
from common.audio import AudioFormat, Encoding
from common.commands import PlayAudio
from common.errors import AgentError
from workers.audio.codec import Decoder, Encoded, Encoder, Pcm
from workers.audio.codecs import follow, open_encoder
from workers.audio.resampler import Resampler
from workers.audio.sound import Sound, check_rate
from workers.voice.late_decoder import LateDecoder

__all__ = ["Speaking"]

#: A command holds no more than this, so that none holds up those of other calls.
_MAX_COMMAND_MS = 1000

#: No encoder looks further ahead: Opus 6.5 ms, AMR-WB 5.94 ms.
_LOOK_AHEAD_MS = 7

_PACKETS = (Encoding.OPUS, Encoding.AMR_WB)


class Speaking:
    """The stream of one call. `heard`: the decoder of what the caller says, whose wishes the
    encoder obeys; `rate_hz`: of arrays that do not say theirs, None for the play format's;
    `waiting`: the predecessor's. Raises AgentError where there is no encoder for the format."""

    def __init__(
        self,
        play_format: AudioFormat,
        *,
        heard: LateDecoder | None = None,
        rate_hz: int | None = None,
        waiting: int = 0,
    ) -> None:
        self._format = play_format
        self._uncut_bytes = _command_bytes(play_format) if play_format.is_sliceable else 0
        self._usual_hz = rate_hz or play_format.rate_hz
        self._obeyed = _obeyed(play_format, heard)
        self._encoder: Encoder | None = None
        self._resampler: Resampler | None = None
        self._rate_hz = 0
        self._waiting: float = waiting

    @property
    def waiting(self) -> int:
        """How many samples, at the encoder's rate, are given but not yet encoded."""
        return round(self._waiting)

    def check(self) -> None:
        """Raises AgentError where nothing but encoded audio can be played."""
        self._open_encoder()

    def stream(self, pcm: Pcm, rate_hz: int | None = None) -> list[PlayAudio]:
        """What is full now, with `pcm`."""
        if rate_hz is None:
            rate_hz = self._usual_hz
        check_rate(rate_hz)
        encoder, encoded = self._resumed()
        if self._resampler is None or rate_hz != self._rate_hz:
            encoded += self._end_of_rate(encoder)
            self._resampler = Resampler(rate_hz, encoder.rate_hz)
            self._rate_hz = rate_hz
        self._waiting += len(pcm) * encoder.rate_hz / rate_hz
        encoded += encoder.encode(self._resampler.process(pcm))
        return self._made(encoder, encoded)

    def whole(self, sound: Sound) -> list[PlayAudio]:
        """All of a sound, beside the stream: touches nothing of it, so any thread may do it."""
        if not len(sound.pcm):
            return []  # and not what an encoder looks ahead
        encoder = self._open_encoder()
        resampler = Resampler(sound.rate_hz, encoder.rate_hz)
        encoded: list[Encoded] = []
        step = sound.rate_hz  # a second at a time, so that memory stays small
        for start in range(0, len(sound.pcm), step):
            encoded += encoder.encode(resampler.process(sound.pcm[start : start + step]))
        encoded += encoder.encode(resampler.flush())
        encoded += self._end(encoder)
        return _commands(encoded, self._format)

    def encoded(self, payload: bytes) -> list[PlayAudio]:
        """A payload of the agent's own in the play format, behind the stream. Raises AgentError
        for what is none, as far as its size or its first bytes tell: a sample that is cut in two
        would shift all that follow, a packet that is none would be silence."""
        if self._format.torn_bytes(len(payload)):
            raise AgentError(f"cannot play {len(payload)} bytes as {self._format}: half a sample")
        if payload and self._format.encoding in _PACKETS and not self._lasts(payload):
            raise AgentError(f"cannot play {len(payload)} bytes as {self._format}: no packet of it")
        return self.passed(payload)

    def passed(self, payload: bytes) -> list[PlayAudio]:
        """What the provider sent itself, behind the stream."""
        if 0 < len(payload) <= self._uncut_bytes and not self._waiting:
            return [PlayAudio(payload)]
        lasts = self._lasts(payload)
        return [*self.flush(), *_commands([Encoded(payload, lasts)], self._format)]

    def _lasts(self, payload: bytes) -> int:
        return packets.samples_in(payload, self._format)

    def flush(self) -> list[PlayAudio]:
        """What has waited, padded; nothing when nothing has."""
        if not self.waiting:
            return []
        encoder, encoded = self._resumed()
        encoded += [*self._end_of_rate(encoder), *self._end(encoder)]
        self._waiting = 0
        return _commands(encoded, self._format)

    def drop(self) -> None:
        """Forget what has waited."""
        self._encoder = self._resampler = None
        self._waiting = 0

    def _resumed(self) -> tuple[Encoder, list[Encoded]]:
        """The encoder of the stream, brought to where the predecessor's was, and what fills."""
        if self._encoder is not None:
            return self._encoder, []
        self._encoder = self._open_encoder()
        return self._encoder, self._encoder.encode(np.zeros(self.waiting, np.int16))

    def _made(self, encoder: Encoder, encoded: list[Encoded]) -> list[PlayAudio]:
        made = sum(samples for _, samples in encoded)
        self._waiting -= made * encoder.rate_hz / self._format.rate_hz
        return _commands(encoded, self._format)

    def _end_of_rate(self, encoder: Encoder) -> list[Encoded]:
        """What the filter of the rate so far holds back."""
        return [] if self._resampler is None else encoder.encode(self._resampler.flush())

    def _end(self, encoder: Encoder) -> list[Encoded]:
        if self._format.is_sliceable:
            return encoder.flush()
        # What an encoder looks ahead it would keep to itself for ever.
        silence = np.zeros(encoder.rate_hz * _LOOK_AHEAD_MS // 1000, np.int16)
        return [*encoder.encode(silence), *encoder.flush()]

    def _open_encoder(self) -> Encoder:
        encoder = open_encoder(self._format)
        if self._obeyed is not None:
            follow(encoder, self._obeyed)
        return encoder


def _obeyed(play_format: AudioFormat, heard: LateDecoder | None) -> Decoder | None:
    if heard is None or not play_format.encoding == heard.format.encoding == Encoding.AMR_WB:
        return None  # no other codec asks for anything
    try:
        return heard.opened
    except AgentError:  # the agent may never listen; then there is nothing to obey
        return None


def _commands(encoded: Iterable[Encoded], play_format: AudioFormat) -> list[PlayAudio]:
    if not play_format.is_sliceable:
        return [PlayAudio(payload, samples) for payload, samples in encoded if payload]
    payload = b"".join(payload for payload, _ in encoded)
    step = _command_bytes(play_format)
    return [PlayAudio(payload[start : start + step]) for start in range(0, len(payload), step)]


def _command_bytes(play_format: AudioFormat) -> int:
    return play_format.bytes_for(play_format.samples_for_ms(_MAX_COMMAND_MS))
