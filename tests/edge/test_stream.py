"""A stream with the dummy provider, in time that the test tells."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.commands import (
    Answer,
    ClearPlayback,
    Command,
    HangUp,
    PlayAudio,
    SendDtmf,
    SetMark,
)
from common.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    DtmfReceived,
    EndReason,
    Event,
    MarkOutcome,
    MarkReached,
    ProviderFailed,
)
from edge.adapter import Message, NoOptions, Traits
from edge.providers.twilio import TwilioAdapter
from edge.stream import Close, Stream
from tests.edge.dummy import ENDED, STARTED, DummyAdapter

PLAYED, CLEARED, LOST = MarkOutcome
SECOND = PlayAudio(b"\x55" * 8000)
NO_MARKS = Traits(echoes_marks=False)
LAST_WORDS = Traits(tells_more_after_hang_up=True)


class Call:
    """A stream, what it has told, and what it has sent. It is woken when it asks for it."""

    def __init__(
        self,
        traits: Traits | None = None,
        *,
        unsupported: tuple[type[Command], ...] = (),
        started: bool = True,
    ) -> None:
        self.stream = Stream(DummyAdapter(traits, unsupported=unsupported), lead_ms=200)
        self.now = 1000.0
        self.events: list[Event] = []
        self.sent: list[Message] = []
        if started:
            self.hear("start")
            assert self.told() == [STARTED]

    def hear(self, *messages: Message) -> Call:
        for message in messages:
            self.events += self.stream.receive(message, now=self.now)
        return self.tick()

    def ask(self, *commands: Command) -> Call:
        for command in commands:
            self.events += self.stream.command(command, now=self.now)
        return self.tick()

    def tick(self) -> Call:
        self.events += self.stream.tick(now=self.now)
        self.sent += self.stream.messages_to_send()
        return self

    def wait(self, seconds: float) -> Call:
        until = self.now + seconds
        while (time := self.stream.next_time()) is not None and time <= until:
            self.now = max(self.now, time)
            self.tick()
        self.now = until
        return self.tick()

    def lose_socket(self) -> Call:
        self.events += self.stream.socket_closed(1006, now=self.now)
        return self

    def give_up(self) -> Call:
        self.events += self.stream.end(EndReason.EDGE_DRAINED, 1012, "edge restarts", now=self.now)
        return self

    def told(self) -> list[Event]:
        told, self.events = self.events, []
        return told

    @property
    def words(self) -> list[str]:
        """What was sent besides audio."""
        return [message for message in self.sent if isinstance(message, str)]

    @property
    def sent_ms(self) -> float:
        return sum(len(message) for message in self.sent if isinstance(message, bytes)) / 8


class TestCaller:
    def test_audio_is_numbered_and_dated(self) -> None:
        frame = b"\xff" * 160
        assert Call().hear(frame, frame).told() == [
            AudioReceived(frame, 0, 1),
            AudioReceived(frame, 20, 2),
        ]

    def test_keys_and_errors_are_passed_on(self) -> None:
        assert Call().hear("key", "error").told() == [DtmfReceived("5"), ProviderFailed("31924")]

    def test_greeting_before_the_start_changes_nothing(self) -> None:
        call = Call(started=False).hear("hello")
        assert (call.told(), call.stream.close) == ([], None)

    @pytest.mark.parametrize("message", [b"\xff", "key", "mark a"])
    def test_media_before_the_start_is_a_violation_without_a_call(self, message: Message) -> None:
        call = Call(started=False).hear(message)
        assert call.told() == []
        assert call.stream.close == Close(1008, "media while connecting")
        assert call.stream.ignored["violation"] == 1

    def test_second_start_ends_the_call(self) -> None:
        call = Call().hear("start")
        assert call.told() == [CallEnded(EndReason.PROTOCOL_VIOLATED, "start while open")]
        assert call.stream.close == Close(1008, "start while open")

    def test_message_that_is_ignored_is_counted_and_the_call_lives(self) -> None:
        call = Call().hear("other", "malformed", b"", "mark nobody's", "key")
        assert call.told() == [DtmfReceived("5")]
        assert call.stream.ignored == {
            "other_stream": 1,
            "malformed": 1,
            "empty": 1,
            "unknown_mark": 1,
        }

    def test_too_much_nonsense_ends_the_call(self) -> None:
        call = Call().hear(*["malformed"] * 5)
        (ended,) = call.told()
        assert isinstance(ended, CallEnded)
        assert ended.reason is EndReason.PROTOCOL_VIOLATED
        assert call.stream.close == Close(1008, "too many messages: malformed")

    def test_flood_of_marks_that_nobody_set_ends_the_call(self) -> None:
        call = Call().hear(*["mark x"] * 10_000)
        assert call.stream.close == Close(1008, "too many messages: unknown_mark")
        assert len(call.told()) == 1

    def test_violation_of_the_protocol_ends_the_call(self) -> None:
        call = Call().hear("wrong")
        assert call.told() == [CallEnded(EndReason.PROTOCOL_VIOLATED, "wrong")]
        assert call.stream.close == Close(1008, "wrong")

    def test_what_comes_after_the_end_is_ignored_and_counted(self) -> None:
        call = Call().hear("stop")
        assert call.told() == [ENDED]
        assert call.hear("start", "key", b"\xff", "mark a", "stop").told() == []
        assert call.stream.ignored == {"after_end": 4}


class TestAgent:
    def test_audio_leaves_as_it_is_heard(self) -> None:
        call = Call().ask(SECOND)
        assert call.sent_ms == 220
        assert call.wait(0.5).sent_ms == pytest.approx(700, abs=21)
        assert call.wait(10).sent_ms == 1000

    def test_mark_follows_its_audio_and_ends_when_it_comes_back(self) -> None:
        call = Call().ask(PlayAudio(bytes(800)), SetMark("a"))
        assert call.sent[-1] == "mark a"
        assert call.told() == []
        assert call.hear("mark a").told() == [MarkReached("a", PLAYED, 100)]

    def test_mark_that_the_provider_does_not_know_is_told_when_its_audio_was_heard(self) -> None:
        call = Call(NO_MARKS).ask(SECOND, SetMark("a"))
        assert call.wait(0.99).told() == []
        assert call.wait(0.02).told() == [MarkReached("a", PLAYED, 1000)]
        assert call.words == []

    def test_mark_that_the_provider_does_not_know_is_told_at_a_clear(self) -> None:
        call = Call(NO_MARKS).ask(SECOND, SetMark("a")).wait(0.25).ask(ClearPlayback())
        assert call.told() == [MarkReached("a", CLEARED, 250)]
        assert call.words == ["clear"]

    def test_clear_overtakes_queued_audio(self) -> None:
        call = Call().ask(SECOND, SetMark("a"))
        sent = call.sent_ms
        assert call.ask(ClearPlayback()).told() == [MarkReached("a", CLEARED, 0)]
        assert call.wait(10).sent_ms == sent
        assert call.words == ["clear"]

    def test_marks_that_a_clear_brings_back_are_not_told_twice(self) -> None:
        call = Call().ask(PlayAudio(bytes(800)), SetMark("a")).ask(ClearPlayback())
        call.told()
        assert call.hear("mark a").told() == []
        assert not call.stream.ignored

    def test_audio_after_a_clear_leaves_at_once(self) -> None:
        call = Call().ask(SECOND, ClearPlayback())
        call.sent.clear()
        assert call.ask(PlayAudio(b"\x01" * 160)).sent == [b"\x01" * 160]

    def test_hanging_up_waits_for_the_last_word(self) -> None:
        call = Call().ask(SECOND, HangUp(detail="bye"))
        assert call.wait(1.0).told() == []
        assert call.wait(0.2).told() == [CallEnded(EndReason.AGENT_HUNG_UP, "bye")]
        assert call.stream.close == Close(1000)
        assert call.sent[-1] == "hang up"

    def test_agent_that_failed_is_no_normal_end(self) -> None:
        call = Call().ask(HangUp(EndReason.AGENT_FAILED, "boom"))
        assert call.told() == [CallEnded(EndReason.AGENT_FAILED, "boom")]
        assert call.stream.close == Close(1011, "boom")

    def test_command_that_the_provider_lacks_is_told_to_the_agent_once(self) -> None:
        call = Call(unsupported=(SendDtmf,)).ask(SendDtmf("1"), SendDtmf("2"))
        assert call.told() == [ProviderFailed("unsupported_command", "SendDtmf", "not here")]
        assert call.stream.ignored["unsupported_command"] == 2
        assert call.hear("key").told() == [DtmfReceived("5")]

    def test_hanging_up_works_where_the_provider_has_no_word_for_it(self) -> None:
        call = Call(unsupported=(HangUp,)).ask(HangUp())
        failed, ended = call.told()
        assert isinstance(failed, ProviderFailed)
        assert ended == CallEnded(EndReason.AGENT_HUNG_UP)

    @pytest.mark.parametrize("end", ["stop", "wrong"])
    def test_commands_after_the_end_are_ignored_and_counted(self, end: str) -> None:
        call = Call().hear(end)
        call.told()
        call.ask(SECOND, SetMark("a"), ClearPlayback(), HangUp(), SendDtmf("1"))
        assert (call.told(), call.sent) == ([], [])
        assert call.stream.ignored["command_after_end"] == 5

    def test_commands_before_the_start_are_ignored_and_counted(self) -> None:
        call = Call(started=False).ask(SECOND)
        assert call.stream.ignored == {"command_after_end": 1}

    def test_nothing_leaves_after_the_end(self) -> None:
        call = Call().ask(SECOND).hear("stop")
        call.sent.clear()
        assert call.wait(10).sent == []
        assert call.stream.next_time() is None


class TestAnswer:
    def test_audio_waits_for_the_answer(self) -> None:
        call = Call(Traits(waits_for_answer=True)).ask(SECOND)
        assert call.wait(1).sent == []
        assert call.ask(Answer()).sent[:1] == ["Answer"]
        assert call.sent_ms == 220

    def test_call_that_was_not_answered_is_hung_up_at_once(self) -> None:
        call = Call(Traits(waits_for_answer=True)).ask(SECOND, HangUp())
        assert call.told() == [CallEnded(EndReason.AGENT_HUNG_UP)]
        assert call.sent == ["hang up"]

    def test_clear_before_the_answer_is_not_sent(self) -> None:
        call = Call(Traits(waits_for_answer=True)).ask(SetMark("a"), ClearPlayback())
        assert call.told() == [MarkReached("a", CLEARED)]
        assert call.sent == []


class TestEnd:
    def test_marks_are_lost_before_the_call_ends(self) -> None:
        call = Call().ask(SECOND, SetMark("a"), SetMark("b")).wait(0.1)
        assert call.hear("stop").told() == [
            MarkReached("a", LOST, 100),
            MarkReached("b", LOST, 0),
            ENDED,
        ]

    def test_socket_that_breaks_ends_the_call(self) -> None:
        call = Call().lose_socket()
        assert call.told() == [CallEnded(EndReason.CONNECTION_LOST, "close code 1006")]

    def test_socket_that_breaks_before_the_start_is_no_call(self) -> None:
        assert Call(started=False).lose_socket().told() == []

    def test_stop_before_the_start_is_no_call(self) -> None:
        call = Call(started=False).hear("stop")
        assert (call.told(), call.stream.close) == ([], Close(1000))

    def test_edge_gives_up_with_its_own_code(self) -> None:
        call = Call().give_up()
        assert call.told() == [CallEnded(EndReason.EDGE_DRAINED, "edge restarts")]
        assert call.stream.close == Close(1012, "edge restarts")

    def test_first_end_counts(self) -> None:
        call = Call().hear("stop").give_up().lose_socket()
        assert call.told() == [ENDED]
        assert call.stream.close == Close(1000)

    def test_particulars_may_follow_the_hanging_up(self) -> None:
        call = Call().hear("hung up")
        assert call.told() == []
        assert call.wait(0.5).hear("stop").told() == [CallEnded(EndReason.CALLER_HUNG_UP)]

    def test_particulars_are_not_waited_for_for_ever(self) -> None:
        call = Call().hear("hung up").wait(0.99)
        assert call.told() == []
        assert call.wait(0.02).told() == [CallEnded(EndReason.CALLER_HUNG_UP)]
        assert call.stream.close == Close(1000)

    def test_particulars_are_not_waited_for_when_the_socket_closes(self) -> None:
        call = Call().hear("hung up").lose_socket()
        assert call.told() == [CallEnded(EndReason.CALLER_HUNG_UP)]

    def test_agents_hanging_up_stays_the_reason_when_particulars_follow(self) -> None:
        call = Call(LAST_WORDS).ask(HangUp(detail="bye"))
        assert call.told() == []
        assert call.hear("stop").told() == [CallEnded(EndReason.AGENT_HUNG_UP, "bye")]

    def test_nothing_is_sent_or_told_while_waiting_for_particulars(self) -> None:
        call = Call(LAST_WORDS).ask(HangUp())
        call.sent.clear()
        assert call.ask(SECOND).hear("key").told() == []
        assert call.sent == []


ACTIONS: dict[str, Any] = {
    "start": lambda call: call.hear("start"),
    "audio": lambda call: call.hear(b"\xff" * 160),
    "key": lambda call: call.hear("key"),
    "echo": lambda call: call.hear("mark a"),
    "nonsense": lambda call: call.hear("malformed"),
    "stop": lambda call: call.hear("stop"),
    "hung up": lambda call: call.hear("hung up"),
    "violation": lambda call: call.hear("wrong"),
    "play": lambda call: call.ask(SECOND),
    "mark": lambda call: call.ask(SetMark("a")),
    "clear": lambda call: call.ask(ClearPlayback()),
    "hang up": lambda call: call.ask(HangUp()),
    "answer": lambda call: call.ask(Answer()),
    "wait": lambda call: call.wait(0.3),
    "socket": lambda call: call.lose_socket(),
    "give up": lambda call: call.give_up(),
}
FLAGS = [
    "echoes_marks",
    "clears",
    "waits_for_answer",
    "whole_frames",
    "tells_more_after_hang_up",
]
TRAITS = st.fixed_dictionaries({flag: st.booleans() for flag in FLAGS}).map(
    lambda flags: Traits(**flags)
)
USUAL = st.sampled_from(["audio", "key", "echo", "play", "mark", "clear", "wait", "answer"])


@given(
    TRAITS,
    st.lists(USUAL, max_size=12),
    st.lists(st.sampled_from(sorted(ACTIONS)), max_size=12),
    st.booleans(),
)
def test_start_comes_first_and_end_last_each_once_whatever_happens(
    traits: Traits, usual: list[str], unusual: list[str], is_started: bool
) -> None:
    call = Call(traits, started=False)
    for action in [*(["start"] if is_started else []), *usual, *unusual, "socket", *unusual]:
        ACTIONS[action](call)
    call.wait(5)
    assert call.stream.close is not None
    events = call.told()
    kinds = [type(event) for event in events]
    assert kinds.count(CallStarted) == kinds.count(CallEnded) <= 1
    if events:
        assert (kinds[0], kinds[-1]) == (CallStarted, CallEnded)


@given(TRAITS, st.lists(st.sampled_from(["play", "mark", "echo", "clear", "wait"])))
def test_every_mark_ends_once(traits: Traits, actions: list[str]) -> None:
    call = Call(traits)
    for action in actions:
        ACTIONS[action](call)
    call.lose_socket()
    marks = [event for event in call.told() if isinstance(event, MarkReached)]
    assert len(marks) == actions.count("mark")


def test_real_provider_and_stream_fit_together() -> None:
    stream = Stream(TwilioAdapter(NoOptions()), lead_ms=200)
    (started,) = stream.receive('{"event":"start","start":{"streamSid":"MZ1"}}', now=1.0)
    assert isinstance(started, CallStarted)
    for command in (PlayAudio(b"\xff"), SetMark("a"), ClearPlayback()):
        stream.command(command, now=1.0)
    stream.tick(now=1.0)
    assert stream.messages_to_send() == ['{"event":"clear","streamSid":"MZ1"}']
