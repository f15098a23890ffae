"""When the caller speaks, as an agent asks for it and is told."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from workers.audio.vad import HANGOVER_MS, ONSET_MS

__all__ = ["SpeechEdge", "SpeechSettings", "SpeechStarted", "SpeechStopped"]


class SpeechSettings(msgspec.Struct, frozen=True):
    """`onset_ms`: so much speech in a row has begun, less is a click. `hangover_ms`: so much
    without any has ended, less is a pause."""

    onset_ms: Annotated[int, Meta(ge=20, le=1000)] = ONSET_MS
    hangover_ms: Annotated[int, Meta(ge=20, le=10_000)] = HANGOVER_MS


class SpeechStarted(msgspec.Struct, frozen=True):
    """`offset_ms`: when the caller began, on the clock of `HeardAudio`; it takes `onset_ms` to be
    sure."""

    offset_ms: int


class SpeechStopped(msgspec.Struct, frozen=True):
    """`offset_ms`: when the caller fell silent; it takes `hangover_ms` to be sure."""

    offset_ms: int


SpeechEdge: TypeAlias = SpeechStarted | SpeechStopped
