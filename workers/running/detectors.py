"""What is noticed in the caller's audio: speech that begins and ends, and keys, where the provider
does not report them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from common.events import CallStarted, DtmfReceived
from workers.agent import Agent
from workers.audio import vad
from workers.audio.dtmf_detector import DtmfDetector
from workers.audio.sound import HeardAudio
from workers.running.memory import Memory
from workers.voice.speech import SpeechEdge, SpeechStarted, SpeechStopped

__all__ = ["Detectors", "Noticed"]

Noticed: TypeAlias = SpeechEdge | DtmfReceived


class Detectors:
    """`memory`: the predecessor's; it is kept up to date in place."""

    def __init__(self, agent: type[Agent], started: CallStarted, memory: Memory) -> None:
        self._detects_keys = agent.detect_dtmf and not started.reports_dtmf
        self._settings = agent.speech
        self._memory = memory
        self._keys: DtmfDetector | None = None
        self._speech: vad.SpeechDetector | None = None
        self._listened = 0  # samples that the speech detector was given

    @property
    def is_needed(self) -> bool:
        return self._detects_keys or self._settings is not None

    def notice(self, audio: HeardAudio) -> Iterator[Noticed]:
        if self._settings is not None:
            yield from self._spoken(audio)
        if self._detects_keys:
            yield from self._pressed(audio)

    def _pressed(self, audio: HeardAudio) -> list[DtmfReceived]:
        if self._keys is None:
            self._keys = DtmfDetector(audio.rate_hz, held=self._memory.key)
        pressed = [DtmfReceived(digit) for digit in self._keys.process(audio.pcm)]
        self._memory.key = self._keys.held
        return pressed

    def _spoken(self, audio: HeardAudio) -> list[SpeechEdge]:
        if self._speech is None:
            assert self._settings is not None
            self._speech = vad.SpeechDetector(
                audio.rate_hz,
                onset_ms=self._settings.onset_ms,
                hangover_ms=self._settings.hangover_ms,
                is_speaking=self._memory.is_speaking,
            )
        # Anew for each frame: where a gap was too long to be filled, time jumps.
        began_ms = audio.offset_ms - self._listened * 1000 // audio.rate_hz
        self._listened += len(audio.pcm)
        edges: list[SpeechEdge] = []
        for edge in self._speech.process(audio.pcm):
            told = SpeechStarted if isinstance(edge, vad.SpeechStarted) else SpeechStopped
            edges.append(told(max(0, began_ms + edge.at * 1000 // audio.rate_hz)))
        self._memory.is_speaking = self._speech.is_speaking
        return edges
