from __future__ import annotations

import pytest

from common.errors import ViolationError
from edge.stream_state import TRANSITIONS, State, StreamState, Trigger

CONNECTING, OPEN, CLOSED = State
LEGAL = [
    (CONNECTING, Trigger.START, OPEN),
    (CONNECTING, Trigger.STOP, CLOSED),
    (CONNECTING, Trigger.FAIL, CLOSED),
    (CONNECTING, Trigger.SOCKET_CLOSED, CLOSED),
    (OPEN, Trigger.MEDIA, OPEN),
    (OPEN, Trigger.STOP, CLOSED),
    (OPEN, Trigger.HANG_UP, CLOSED),
    (OPEN, Trigger.FAIL, CLOSED),
    (OPEN, Trigger.SOCKET_CLOSED, CLOSED),
    *((CLOSED, trigger, CLOSED) for trigger in Trigger),
]
ILLEGAL = [
    (CONNECTING, Trigger.MEDIA, "media while connecting"),
    (CONNECTING, Trigger.HANG_UP, "hang_up while connecting"),
    (OPEN, Trigger.START, "start while open"),
]


def stream_in(state: State) -> StreamState:
    stream = StreamState()
    stream.state = state
    return stream


def test_stream_begins_connecting() -> None:
    assert StreamState().state is CONNECTING


def test_every_trigger_in_every_state_is_either_legal_or_not() -> None:
    tried = [(state, trigger) for state, trigger, _ in [*LEGAL, *ILLEGAL]]
    assert len(tried) == len(set(tried)) == len(State) * len(Trigger)


@pytest.mark.parametrize(("state", "trigger", "target"), LEGAL)
def test_legal_trigger_leads_on(state: State, trigger: Trigger, target: State) -> None:
    stream = stream_in(state)
    counts = stream.fire(trigger)
    assert stream.state is TRANSITIONS[state][trigger] is target
    assert counts is (state is not CLOSED)


@pytest.mark.parametrize(("state", "trigger", "reason"), ILLEGAL)
def test_missing_key_is_a_violation_that_changes_nothing(
    state: State, trigger: Trigger, reason: str
) -> None:
    stream = stream_in(state)
    with pytest.raises(ViolationError) as raised:
        stream.fire(trigger)
    assert (raised.value.code, raised.value.reason) == (1008, reason)
    assert stream.state is state
