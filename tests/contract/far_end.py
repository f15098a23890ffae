"""A provider as PROTOCOLS.md describes them all: it plays what it is sent in real time, gives marks
back once the audio before them was heard, and on a clear stops and gives back all that are left."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import deque

from common.audio import AudioFormat
from edge.adapter import Message

__all__ = ["FarEnd"]


class FarEnd:
    """`heard_until` is when everything it was sent will have been heard."""

    def __init__(self, play_format: AudioFormat) -> None:
        self._format = play_format
        self._marks: deque[tuple[float, str]] = deque()
        self.heard_until = 0.0
        self.has_hung_up = False

    def take(self, messages: list[Message], *, now: float) -> list[str]:
        """What it was sent; the names of the marks that it gives back for it."""
        returned: list[str] = []
        for message in messages:
            if isinstance(message, bytes):
                self._play(message, now)
                continue
            frame = json.loads(message)
            match frame["event"]:
                case "media":
                    self._play(b64decode(frame["media"]["payload"]), now)
                case "mark":
                    self._marks.append((max(self.heard_until, now), frame["mark"]["name"]))
                case "clear" | "interrupt":
                    self.heard_until = min(self.heard_until, now)
                    returned += [name for _, name in self._marks]
                    self._marks.clear()
                case "hangup":
                    self.has_hung_up = True
        return returned

    def reached(self, *, now: float) -> list[str]:
        """The marks whose audio has been heard."""
        names: list[str] = []
        while self._marks and self._marks[0][0] <= now:
            names.append(self._marks.popleft()[1])
        return names

    def next_mark(self) -> float | None:
        return self._marks[0][0] if self._marks else None

    def _play(self, payload: bytes, now: float) -> None:
        lasts_s = self._format.samples_in(len(payload)) / self._format.rate_hz
        self.heard_until = max(self.heard_until, now) + lasts_s
