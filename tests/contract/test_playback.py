"""What is true of every provider's marks, audio and end, whatever the order of things."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.commands import ClearPlayback, HangUp, PlayAudio, SetMark
from common.events import CallEnded, CallStarted, EndReason, MarkOutcome
from tests.contract.call import Call
from tests.contract.samples import PROVIDERS, Sample, sample

PLAYED, CLEARED, LOST = MarkOutcome

Action = Callable[[Call], object]

every_provider = pytest.mark.parametrize("provider", PROVIDERS)


def audio(call: Call, ms: float) -> PlayAudio:
    audio_format = call.format
    return PlayAudio(b"\x55" * audio_format.bytes_for(audio_format.samples_for_ms(ms)))


def play(ms: int) -> Action:
    return lambda call: call.ask(audio(call, ms))


def wait(ms: int) -> Action:
    return lambda call: call.wait(ms / 1000)


def clear(call: Call) -> None:
    call.ask(ClearPlayback())


def hang_up(call: Call) -> None:
    call.ask(HangUp())


ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.sampled_from([1, 20, 50, 300, 1500]).map(play),
    st.sampled_from([1, 19, 100, 700]).map(wait),
    st.sampled_from([Call.mark, Call.mark, clear]),
)


def endings(told: Sample) -> dict[str, Action]:
    return {
        "stop": lambda call: call.hear(told.stop),
        "hang-up": hang_up,
        "hang-up at once": lambda call: call.ask(ClearPlayback(), HangUp()),
        "socket": Call.lose_socket,
        "error": lambda call: call.hear(told.start),
        "edge": Call.give_up,
        "last words": wait(1100),
    }


@every_provider
@given(data=st.data())
def test_every_mark_ends_once_and_the_end_is_told_once(provider: str, data: st.DataObject) -> None:
    told = sample(provider)
    call = Call(told)
    for action in data.draw(st.lists(ACTIONS, max_size=12)):
        action(call)
    ways = endings(told)
    for way in data.draw(st.lists(st.sampled_from(sorted(ways)), max_size=4)):
        ways[way](call)
    call.wait(3)
    call.lose_socket()
    assert sorted(reached.name for reached in call.marks) == sorted(call.marks_set)
    kinds = [type(event) for event in call.events]
    assert (kinds[0], kinds[-1]) == (CallStarted, CallEnded)
    assert (kinds.count(CallStarted), kinds.count(CallEnded)) == (1, 1)
    assert call.stream.close is not None


@every_provider
@given(st.lists(ACTIONS, max_size=15))
def test_marks_end_in_the_order_in_which_they_were_set(
    provider: str, actions: list[Action]
) -> None:
    call = Call(sample(provider))
    for action in actions:
        action(call)
    call.wait(10)
    assert [reached.name for reached in call.marks] == call.marks_set
    assert LOST not in {reached.outcome for reached in call.marks}


@every_provider
@given(st.lists(st.sampled_from([20, 35, 300]).map(play) | st.just(Call.mark), max_size=10))
def test_mark_is_played_once_its_audio_was_heard(provider: str, actions: list[Action]) -> None:
    call = Call(sample(provider))
    for action in [play(20), *actions, Call.mark]:
        action(call)
    while len(call.marks) < len(call.marks_set):
        call.wait(0.01)
    assert call.now >= call.far_end.heard_until - 1e-6
    assert call.now <= call.far_end.heard_until + 0.1
    assert {reached.outcome for reached in call.marks} == {PLAYED}


@every_provider
def test_cleared_mark_tells_how_much_was_heard(provider: str) -> None:
    call = Call(sample(provider))
    call.ask(audio(call, 1000), SetMark("a"), audio(call, 1000), SetMark("b"))
    call.wait(1.25)
    call.ask(ClearPlayback())
    assert [(m.name, m.outcome) for m in call.marks] == [("a", PLAYED), ("b", CLEARED)]
    assert [m.heard_ms for m in call.marks] == [1000, pytest.approx(250, abs=1)]


@every_provider
@pytest.mark.parametrize("second", sorted(endings(sample(PROVIDERS[0]))))
@pytest.mark.parametrize("first", sorted(endings(sample(PROVIDERS[0]))))
def test_end_is_told_once_whichever_came_first(provider: str, first: str, second: str) -> None:
    told = sample(provider)
    call = Call(told)
    call.ask(audio(call, 100), SetMark("a"))
    for way in (first, second, "socket"):
        endings(told)[way](call)
    call.wait(2)
    assert len(call.ends) == len(call.marks) == 1
    assert call.events[-1] is call.ends[0]


@every_provider
def test_caller_who_hangs_up_before_the_agent_is_the_reason(provider: str) -> None:
    told = sample(provider)
    call = Call(told)
    call.hear(told.stop)
    call.ask(HangUp())
    call.wait(2)
    assert [end.reason for end in call.ends] == [EndReason.CALLER_HUNG_UP]


@every_provider
def test_agent_who_hangs_up_before_the_caller_is_the_reason(provider: str) -> None:
    told = sample(provider)
    call = Call(told)
    call.ask(HangUp())
    call.hear(told.stop)
    call.wait(2)
    assert [end.reason for end in call.ends] == [EndReason.AGENT_HUNG_UP]
