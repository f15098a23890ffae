"""The life of a provider's stream, as one table.

Rule 1: everything that says what is legal when stands in TRANSITIONS.
Rule 2: a missing key is an illegal trigger: ViolationError, close code 1008.
Rule 3: CLOSED is left by nothing, and swallows what comes late.
"""

from __future__ import annotations

from enum import Enum, auto

from common.errors import ViolationError

__all__ = ["TRANSITIONS", "State", "StreamState", "Trigger"]


class State(Enum):
    CONNECTING = auto()  # the socket is open, the provider has not said which call this is
    OPEN = auto()  # the call is on
    CLOSED = auto()  # over, whoever ended it


class Trigger(Enum):
    START = auto()  # the provider named the call
    MEDIA = auto()  # audio, a digit, a mark: what only a started stream may bring
    STOP = auto()  # the provider ended the stream
    HANG_UP = auto()  # the agent ended the call
    FAIL = auto()  # one side did what it may not, or could not go on
    SOCKET_CLOSED = auto()


TRANSITIONS: dict[State, dict[Trigger, State]] = {
    State.CONNECTING: {
        Trigger.START: State.OPEN,
        Trigger.STOP: State.CLOSED,
        Trigger.FAIL: State.CLOSED,
        Trigger.SOCKET_CLOSED: State.CLOSED,
    },
    State.OPEN: {
        Trigger.MEDIA: State.OPEN,
        Trigger.STOP: State.CLOSED,
        Trigger.HANG_UP: State.CLOSED,
        Trigger.FAIL: State.CLOSED,
        Trigger.SOCKET_CLOSED: State.CLOSED,
    },
    State.CLOSED: dict.fromkeys(Trigger, State.CLOSED),
}


class StreamState:
    def __init__(self) -> None:
        self.state = State.CONNECTING

    def fire(self, trigger: Trigger) -> bool:
        """Whether the trigger counts: False once the stream is closed. Raises ViolationError."""
        was = self.state
        target = TRANSITIONS[was].get(trigger)
        if target is None:
            raise ViolationError(1008, f"{trigger.name.lower()} while {was.name.lower()}")
        self.state = target
        return was is not State.CLOSED
