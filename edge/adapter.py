"""The contract of a provider: what a file in `edge/providers/` must export as PROVIDER.

Rule 1: an adapter is sans-IO. Messages in, values out; no clock, no socket, no await.
Rule 2: `receive` never raises, whatever the peer sent. What is wrong comes back as a value:
        `Ignored` is counted and the call lives, `Violated` closes the socket.
Rule 3: an adapter decides nothing about order, time or playback. It says what the provider does
        (`Ordering`, `Traits`); the stream (`edge/stream.py`) acts on it, for all alike.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from common.commands import Command
from common.errors import MessageError, ViolationError
from common.events import CallEnded, CallStarted, DtmfReceived, EndReason, ProviderFailed

__all__ = [
    "Adapter",
    "FirstFrame",
    "HungUp",
    "Ignored",
    "KeyPressed",
    "MarkEchoed",
    "MediaReceived",
    "Message",
    "NoOptions",
    "Ordering",
    "Provider",
    "Receipt",
    "Recognition",
    "Traits",
    "Violated",
    "guarded",
]

#: A WebSocket message: str is a text message, bytes a binary one.
Message: TypeAlias = str | bytes


class MediaReceived(msgspec.Struct, frozen=True):
    """Audio as it came. `number` is its place in the track and `sequence` its place among all
    messages, where the provider tells."""

    payload: bytes
    number: int | None = None
    sequence: int = 0
    track: str = "inbound"


class KeyPressed(NamedTuple):
    """A key whose message may come out of order; `occurred_at` is ISO 8601."""

    event: DtmfReceived
    occurred_at: str


class MarkEchoed(NamedTuple):
    """The provider gave a mark back; the stream knows whether it was played or cleared."""

    name: str


class HungUp(NamedTuple):
    """The provider ended the call; a `CallEnded` with particulars, or the end of the socket, may
    follow shortly."""

    reason: EndReason


class Ignored(NamedTuple):
    """A message without effect. `reason` is a metric label: a few fixed words."""

    reason: str


class Violated(NamedTuple):
    """The provider broke its own protocol; `code` is the WebSocket close code to answer with."""

    code: int
    reason: str


Receipt: TypeAlias = (
    CallStarted
    | MediaReceived
    | DtmfReceived
    | KeyPressed
    | MarkEchoed
    | ProviderFailed
    | HungUp
    | CallEnded
    | Ignored
    | Violated
)


class Ordering(NamedTuple):
    """How far messages may come out of order. 0 frames: they do not; duplicates and gaps are seen
    all the same where frames are numbered."""

    frames: int = 0
    hold_ms: int = 0


class Traits(NamedTuple):
    """What a provider does, and what it expects of us."""

    echoes_marks: bool = True  # False: marks are told from the pacer's clock
    returns_cleared_marks: bool = True  # False: after a clear, unplayed marks never come back
    clears: bool = True  # False: what was sent is heard; so little is sent ahead
    waits_for_answer: bool = False  # True: nothing may be played before the call is answered
    frame_ms: int = 20
    max_message_ms: int = 1000
    min_interval_ms: int = 0  # least time between two messages of audio
    whole_frames: bool = False  # True: a last short frame is filled up with silence
    tells_more_after_hang_up: bool = False  # True: a record of the call may follow our hanging up


class Adapter(Protocol):
    """One stream of one provider."""

    @property
    def ordering(self) -> Ordering: ...

    @property
    def traits(self) -> Traits:
        """Asked for once the call has started: it may depend on what the start said."""

    def receive(self, message: Message) -> list[Receipt]:
        """What a message means."""

    def send(self, command: Command) -> None:
        """Put a command into the provider's words; raises UnsupportedError where it has none."""

    def messages_to_send(self) -> list[Message]:
        """What is to be written to the socket, in order; empties the list."""


class Recognition(Enum):
    """Whether a first frame is a provider's own."""

    YES = auto()
    NO = auto()
    UNSURE = auto()  # it could be; the next frame will tell


#: A decoded first text message: a JSON object.
FirstFrame: TypeAlias = dict[str, Any]


class NoOptions(msgspec.Struct, frozen=True):
    """For providers that leave nothing to choose."""


OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class Provider(NamedTuple, Generic[OptionsT]):
    """`options` is read from `TRUNKLINE_<NAME>_*` and handed to `open_adapter`; `recognise` tells
    from a first frame whose it is. `start_timeout_s`: how long a socket may be silent before the
    call, where it is longer than usual."""

    name: str
    options: type[OptionsT]
    open_adapter: Callable[[OptionsT], Adapter]
    recognise: Callable[[FirstFrame], Recognition]
    start_timeout_s: float | None = None


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
