"""When the caller speaks, as an agent asks for it and is told."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from workers.audio.vad import HANGOVER_MS, ONSET_MS

__all__ = ["SpeechEdge", "SpeechSettings", "SpeechStarted", "SpeechStopped"]

#: One frame of the detector.
_LEAST_MS = 20


class SpeechSettings(msgspec.Struct, frozen=True):
    """`onset_ms`: so much speech in a row has begun, less is a click. `hangover_ms`: so much
    without any has ended, less is a pause. Raises ValueError for what is out of range."""

    onset_ms: int = ONSET_MS
    hangover_ms: int = HANGOVER_MS

    def __post_init__(self) -> None:
        _check("onset_ms", self.onset_ms, most=1000)
        _check("hangover_ms", self.hangover_ms, most=10_000)


def _check(name: str, value: object, *, most: int) -> None:
    if not isinstance(value, int) or not _LEAST_MS <= value <= most:
        raise ValueError(f"{name} is {value!r}: {_LEAST_MS} to {most} are possible")


class SpeechStarted(msgspec.Struct, frozen=True):
    """`offset_ms`: when the caller began, on the clock of `HeardAudio`; it takes `onset_ms` to be
    sure."""

    offset_ms: int


class SpeechStopped(msgspec.Struct, frozen=True):
    """`offset_ms`: when the caller fell silent; it takes `hangover_ms` to be sure."""

    offset_ms: int


SpeechEdge: TypeAlias = SpeechStarted | SpeechStopped
