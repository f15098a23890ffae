"""A provider for tests that speaks in plain words, and can be whatever a test needs it to be."""

from __future__ import annotations

from collections.abc import Collection

from common.audio import AudioFormat
from common.commands import ClearPlayback, Command, HangUp, PlayAudio, SetMark
from common.errors import UnsupportedError
from common.events import CallEnded, CallStarted, DtmfReceived, EndReason, ProviderFailed
from edge.adapter import (
    HungUp,
    Ignored,
    MarkEchoed,
    MediaReceived,
    Message,
    Ordering,
    Receipt,
    Traits,
    Violated,
)

__all__ = ["ENDED", "STARTED", "DummyAdapter"]

STARTED = CallStarted("dummy", AudioFormat.pcmu())
ENDED = CallEnded(EndReason.CALLER_HUNG_UP, "said so")

_RECEIPTS: dict[str, list[Receipt]] = {
    "hello": [],
    "start": [STARTED],
    "stop": [ENDED],
    "hung up": [HungUp(EndReason.CALLER_HUNG_UP)],
    "key": [DtmfReceived("5")],
    "error": [ProviderFailed("31924")],
    "other": [Ignored("other_stream")],
    "malformed": [Ignored("malformed")],
    "wrong": [Violated(1008, "wrong")],
}


class DummyAdapter:
    """Audio is binary both ways, everything else one word: `start`, `key`, `mark <name>`, ..."""

    ordering = Ordering()

    def __init__(
        self, traits: Traits | None = None, *, unsupported: Collection[type[Command]] = ()
    ) -> None:
        self.traits = traits or Traits()
        self._unsupported = tuple(unsupported)
        self._to_send: list[Message] = []

    def receive(self, message: Message) -> list[Receipt]:
        if isinstance(message, bytes):
            return [MediaReceived(message)]
        word, _, name = message.partition(" ")
        if word == "mark":
            return [MarkEchoed(name)]
        if word == "crash":
            raise ZeroDivisionError("a bug of ours")
        return _RECEIPTS[message]

    def send(self, command: Command) -> None:
        if isinstance(command, self._unsupported):
            raise UnsupportedError("not here")
        match command:
            case PlayAudio(payload=payload):
                self._to_send.append(payload)
            case SetMark(name=name):
                self._to_send.append(f"mark {name}")
            case ClearPlayback():
                self._to_send.append("clear")
            case HangUp():
                self._to_send.append("hang up")
            case _:
                self._to_send.append(type(command).__name__)

    def messages_to_send(self) -> list[Message]:
        messages, self._to_send = self._to_send, []
        return messages
