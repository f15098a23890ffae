"""A dialect unlike Twilio's: it rings, audio is binary both ways, there are keys but no marks."""

from __future__ import annotations

import json

from common.audio import AudioFormat
from ops.phone.dialect import (
    Answer,
    Clear,
    Dialect,
    Fault,
    HangUp,
    Received,
    WsMessage,
    audio_to_play,
)

__all__ = ["RINGING", "RingingManners"]


_FORMAT = AudioFormat.pcm(8000)


class RingingManners:
    def __init__(self) -> None:
        self._is_answered = False

    def open(self) -> list[WsMessage]:
        return [json.dumps({"event": "incoming_call"})]

    def media(self, payload: bytes) -> list[WsMessage]:
        return [payload]

    def dtmf(self, digit: str) -> list[WsMessage]:
        return [json.dumps({"event": "dtmf", "digit": digit})]

    def mark_echo(self, name: str, *, is_cleared: bool) -> list[WsMessage]:
        return []

    def stop(self) -> list[WsMessage]:
        return [json.dumps({"event": "hangup"}), json.dumps({"event": "cdr"})]

    def receive(self, message: WsMessage) -> Received:
        if isinstance(message, bytes):
            audio = audio_to_play(message, _FORMAT)
            return audio if self._is_answered else Fault("audio before the answer")
        answers: dict[str, Received] = {
            "answer": Answer(),
            "interrupt": Clear(),
            "hangup": HangUp(),
        }
        received = answers[json.loads(message)["event"]]
        self._is_answered |= isinstance(received, Answer)
        return received


RINGING = Dialect(
    "ringing",
    format=_FORMAT,
    open_call=RingingManners,
    chunk_ms=40,
    has_dtmf=True,
    rings=True,
)
