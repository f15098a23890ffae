"""What is noticed in the caller's audio: keys, where the provider does not report them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from common.events import CallStarted, DtmfReceived
from workers.agent import Agent
from workers.audio.dtmf_detector import DtmfDetector
from workers.sound import HeardAudio

__all__ = ["Detectors", "Memory"]


class Memory(msgspec.Struct, array_like=True):
    """What was told already and lasts: the key that is down."""

    key: str = ""


class Detectors:
    """`memory`: the predecessor's; it is kept up to date in place."""

    def __init__(self, agent: type[Agent], started: CallStarted, memory: Memory) -> None:
        self._detects_keys = agent.detect_dtmf and not started.reports_dtmf
        self._memory = memory
        self._keys: DtmfDetector | None = None

    @property
    def is_needed(self) -> bool:
        return self._detects_keys

    def notice(self, audio: HeardAudio) -> Iterator[DtmfReceived]:
        if self._detects_keys:
            yield from self._pressed(audio)

    def _pressed(self, audio: HeardAudio) -> list[DtmfReceived]:
        if self._keys is None:
            self._keys = DtmfDetector(audio.rate_hz, held=self._memory.key)
        pressed = [DtmfReceived(digit) for digit in self._keys.process(audio.pcm)]
        self._memory.key = self._keys.held
        return pressed
