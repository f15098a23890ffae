"""What an agent is to be told for each frame that came; per call.

Rule 1: an agent with `listen` hears its own rate, without gaps. What stands for lost frames comes
        as `HeardAudio` of its own, before the frame whose `lost_frames` tells of them.
Rule 2: an agent without hears frames as they came, and no codec is opened that nobody needs.
Rule 3: what a detector has to say of a frame comes before the frame.
Rule 4: codecs and filters belong to the process, a new owner begins with fresh ones; only what was
        told already, and must not be told again, is `memory`.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import suppress
from typing import TypeAlias

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from common.events import AudioReceived, CallStarted
from workers.agent import Agent
from workers.audio.resampler import MAX_HZ, MIN_HZ
from workers.audio.sound import Decoded, HeardAudio
from workers.running.detectors import Detectors, Noticed
from workers.running.memory import Memory
from workers.voice.late_decoder import LateDecoder
from workers.voice.speech import SpeechSettings
from workers.voice.track import Track

__all__ = ["CALLER", "Heard", "Hearing", "check_declared"]

Heard: TypeAlias = HeardAudio | Noticed

#: The track of what the caller says. Detectors listen to no other.
CALLER = "inbound"


def check_declared(agent: type[Agent]) -> None:
    """Raises AgentError for what no call could give the agent."""
    listen, name = agent.listen, agent.__name__
    if listen is not None and not _can_be_had(listen):
        raise AgentError(
            f"{name} listens to {listen}: what can be had is AudioFormat.pcm(rate), "
            f"{MIN_HZ} to {MAX_HZ} Hz"
        )
    if agent.speech is not None and not isinstance(agent.speech, SpeechSettings):
        raise AgentError(f"{name}.speech is {agent.speech!r}: SpeechSettings(...) are needed")
    if not isinstance(agent.tracks, Set):
        raise AgentError(f"{name}.tracks is {agent.tracks!r}: a set of names is needed")


def _can_be_had(listen: AudioFormat) -> bool:
    is_pcm = isinstance(listen, AudioFormat) and listen == AudioFormat.pcm(listen.rate_hz)
    return is_pcm and MIN_HZ <= listen.rate_hz <= MAX_HZ


class Hearing:
    """`memory`: the predecessor's; it is kept up to date in place."""

    def __init__(self, agent: type[Agent], started: CallStarted, memory: Memory) -> None:
        self._agent = agent
        self._format = started.format
        self._to_hz = None if agent.listen is None else agent.listen.rate_hz
        #: Of what the caller says.
        self.decoder = LateDecoder(started.format)
        self._decoders = {CALLER: self.decoder}
        self._tracks: dict[str, Track] = {}
        self._detectors: Detectors | None = Detectors(agent, started, memory)
        if not self._detectors.is_needed:
            self._detectors = None
        # The first payload tells how AMR-WB is packed, and so how it is to be packed by us.
        self._looks_at_first = started.format.encoding is Encoding.AMR_WB

    def check(self) -> None:
        """Raises AgentError when the agent cannot be given what it listens to."""
        check_declared(self._agent)
        if self._is_decoding:
            _ = self.decoder.opened

    def hear(self, event: AudioReceived) -> Iterator[Heard]:
        """What the agent is to handle for this frame, in order."""
        if not self._is_decoding:
            yield self._as_it_came(event)
            return
        track = self._track(event.track)
        detectors = self._detectors if event.track == CALLER else None
        for audio in track.hear(event):
            if detectors is not None:
                yield from detectors.notice(audio)
            if self._to_hz is not None:
                yield audio
        if self._to_hz is None:  # the last one was the frame itself
            yield HeardAudio(event, self._format, Decoded(audio.rate_hz, audio.pcm))

    @property
    def _is_decoding(self) -> bool:
        return self._to_hz is not None or self._detectors is not None

    def _as_it_came(self, event: AudioReceived) -> HeardAudio:
        audio = HeardAudio(event, self._format, self._decoder(event.track))
        if self._looks_at_first and event.track == CALLER:
            self._looks_at_first = False
            with suppress(AgentError):  # of a decoder that is not there: the agent may not need it
                _ = audio.pcm
        return audio

    def _track(self, name: str) -> Track:
        if name not in self._tracks:
            self._tracks[name] = Track(self._decoder(name), self._to_hz)
        return self._tracks[name]

    def _decoder(self, track: str) -> LateDecoder:
        if track not in self._decoders:
            self._decoders[track] = LateDecoder(self._format)
        return self._decoders[track]
