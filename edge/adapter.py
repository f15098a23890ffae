"""The contract of a provider: what a file in `edge/providers/` must export as PROVIDER.

Rule 1: an adapter is sans-IO. Messages in, values out; no clock, no socket, no await.
Rule 2: `receive` never raises, whatever the peer sent. What is wrong comes back as a value:
        `Ignored` is counted and the call lives, `Violated` closes the socket.
Rule 3: an adapter decides nothing about playback. Order, pacing and the fate of marks are the
        stream's business (`edge/stream.py`), the same for every provider.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from common.commands import Command
from common.errors import MessageError, ViolationError
from common.events import Event

__all__ = [
    "Adapter",
    "Ignored",
    "MarkEchoed",
    "Message",
    "Playback",
    "Provider",
    "Receipt",
    "Violated",
    "guarded",
]

#: A WebSocket message: str is a text message, bytes a binary one.
Message: TypeAlias = str | bytes


class MarkEchoed(NamedTuple):
    """The provider gave a mark back; the stream knows whether it was played or cleared."""

    name: str


class Ignored(NamedTuple):
    """A message without effect. `reason` is a metric label: a few fixed words."""

    reason: str


class Violated(NamedTuple):
    """The provider broke its own protocol; `code` is the WebSocket close code to answer with."""

    code: int
    reason: str


Receipt: TypeAlias = Event | MarkEchoed | Ignored | Violated


class Adapter(Protocol):
    """One stream of one provider."""

    def receive(self, message: Message) -> list[Receipt]:
        """What a message means. `CallStarted` comes first, `CallEnded` last and once."""

    def send(self, command: Command) -> None:
        """Put a command into the provider's words; raises UnsupportedError where it has none."""

    def messages_to_send(self) -> list[Message]:
        """What is to be written to the socket, in order; empties the list."""


class Playback(NamedTuple):
    """What a provider does with the audio it is sent."""

    echoes_marks: bool = True  # False: marks are told from the pacer's clock
    returns_cleared_marks: bool = True  # False: after a clear, unplayed marks never come back
    clears: bool = True  # False: what was sent is heard; so little is sent ahead
    frame_ms: int = 20
    max_message_ms: int = 1000
    whole_frames: bool = False  # True: a last short frame is filled up with silence


class Provider(NamedTuple):
    name: str
    open_adapter: Callable[[], Adapter]
    playback: Playback = Playback()


AdapterT = TypeVar("AdapterT")
Receive: TypeAlias = Callable[[AdapterT, Message], list[Receipt]]


def guarded(receive: Receive[AdapterT]) -> Receive[AdapterT]:
    """Turn the errors that an adapter's readers raise into values, at the one way in."""

    def receive_guarded(self: AdapterT, message: Message) -> list[Receipt]:
        try:
            return receive(self, message)
        except MessageError as error:
            return [Ignored(error.reason)]
        except ViolationError as error:
            return [Violated(error.code, error.reason)]

    return receive_guarded
