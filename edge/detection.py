"""Find out from its first frames which provider is calling, and lose none of them; sans-IO.

An adapter that keeps the first messages until one provider says that they are its own (or all
but one kind of greeting are ruled out), then opens that provider's adapter, hands it what was
kept, and steps aside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from common.commands import Command
from edge.adapter import (
    Adapter,
    FirstFrame,
    Ignored,
    Message,
    Ordering,
    Receipt,
    Recognition,
    Traits,
    Violated,
)

__all__ = ["Candidate", "DetectingAdapter"]

_MAX_FRAMES = 8
_MAX_CHARACTERS = 16_384


class Candidate(NamedTuple):
    recognise: Callable[[FirstFrame], Recognition]
    open_adapter: Callable[[], Adapter]


class DetectingAdapter:
    def __init__(self, candidates: Mapping[str, Candidate]) -> None:
        self._candidates = dict(candidates)
        self._kept: list[str] = []
        self._adapter: Adapter | None = None

    @property
    def ordering(self) -> Ordering:
        return self._adapter.ordering if self._adapter else Ordering()

    @property
    def traits(self) -> Traits:
        return self._adapter.traits if self._adapter else Traits()

    def receive(self, message: Message) -> list[Receipt]:
        if self._adapter is not None:
            return self._adapter.receive(message)
        if isinstance(message, bytes):
            return [Violated(1003, "binary message before the call")]
        frame = _frame(message)
        if frame is None:
            return [Ignored("malformed")]
        self._kept.append(message)
        return self._decide(frame)

    def send(self, command: Command) -> None:
        if self._adapter is not None:
            self._adapter.send(command)

    def messages_to_send(self) -> list[Message]:
        return self._adapter.messages_to_send() if self._adapter else []

    def _decide(self, frame: FirstFrame) -> list[Receipt]:
        verdicts = {name: c.recognise(frame) for name, c in self._candidates.items()}
        for name, verdict in verdicts.items():
            if verdict is Recognition.YES:
                return self._open(self._candidates[name])
        if all(verdict is Recognition.NO for verdict in verdicts.values()):
            return [Violated(1008, "unknown provider")]
        if len(self._kept) >= _MAX_FRAMES or sum(map(len, self._kept)) > _MAX_CHARACTERS:
            return [Violated(1008, "no start")]
        return []

    def _open(self, candidate: Candidate) -> list[Receipt]:
        self._adapter = candidate.open_adapter()
        kept, self._kept = self._kept, []
        return [receipt for message in kept for receipt in self._adapter.receive(message)]


def _frame(message: str) -> FirstFrame | None:
    try:
        frame = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return frame if isinstance(frame, dict) else None
