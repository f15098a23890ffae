"""sunvone: ringing, answering, marks by the clock, keys, records. Its messages one by one are in
the fixtures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.commands import Answer, ClearPlayback, Command, HangUp, PlayAudio, SendDtmf, SetMark
from common.errors import UnsupportedError
from common.events import (
    AudioReceived,
    CallEnded,
    EndReason,
    Event,
    MarkOutcome,
    MarkReached,
    ProviderFailed,
)
from edge.adapter import Message
from edge.providers.sunvone import PROVIDER, SunvoneAdapter, SunvoneOptions
from edge.stream import Stream

PLAYED, CLEARED, LOST = MarkOutcome

INCOMING = '{"event":"incoming_call","callerId":"1","didNumber":"2","sessionId":"s1"}'
HANGUP = '{"event":"hangup"}'
CDR = '{"event":"cdr","sessionId":"s1","duration":12,"disposition":"ANSWERED"}'
RECORD = {"session_id": "s1", "duration": "12", "disposition": "ANSWERED"}


def audio(ms: int) -> PlayAudio:
    return PlayAudio(b"\x11\x22" * 8 * ms)


class Call:
    def __init__(self, *, answered: bool = True, interrupt: bool = False) -> None:
        self.stream = Stream(SunvoneAdapter(SunvoneOptions(interrupt=interrupt)), lead_ms=200)
        self.now = 1000.0
        self.told: list[Event] = []
        self.sent: list[Message] = []
        self.stream.receive(INCOMING, now=self.now)
        if answered:
            self.ask(Answer())
            self.sent.clear()

    def hear(self, *messages: Message) -> Call:
        for message in messages:
            self.told += self.stream.receive(message, now=self.now)
        return self._settle()

    def ask(self, *commands: Command) -> Call:
        for command in commands:
            self.told += self.stream.command(command, now=self.now)
        return self._settle()

    def wait(self, seconds: float) -> Call:
        until = self.now + seconds
        while (due := self.stream.next_time()) is not None and due <= until:
            self.now = max(self.now, due)
            self._settle()
        self.now = until
        return self._settle()

    def lose_socket(self) -> Call:
        self.told += self.stream.socket_closed(1000, now=self.now)
        return self

    @property
    def words(self) -> list[Any]:
        """What was sent besides audio."""
        return [json.loads(message) for message in self.sent if isinstance(message, str)]

    @property
    def sent_ms(self) -> float:
        return sum(len(message) for message in self.sent if isinstance(message, bytes)) / 16

    def _settle(self) -> Call:
        self.told += self.stream.tick(now=self.now)
        self.sent += self.stream.messages_to_send()
        return self


class TestRinging:
    def test_caller_may_be_silent_for_long_before_the_call(self) -> None:
        assert PROVIDER.start_timeout_s is not None
        assert PROVIDER.start_timeout_s >= 30

    @pytest.mark.parametrize(
        "command", [audio(100), SetMark("a"), ClearPlayback(), SendDtmf("1")], ids=str
    )
    def test_unanswered_call_is_sent_nothing(self, command: Command) -> None:
        call = Call(answered=False, interrupt=True)
        assert call.ask(command).wait(10).sent == []

    def test_answer_lets_go_what_has_waited_in_order(self) -> None:
        call = Call(answered=False)
        call.ask(audio(40), SendDtmf("1"), Answer())
        assert call.sent[0] == '{"event":"answer"}'
        assert call.wait(0.1).sent_ms == 40
        assert [word["event"] for word in call.words] == ["answer", "dtmf"]
        assert isinstance(call.sent[1], bytes)

    def test_clear_before_the_answer_takes_back_what_waits(self) -> None:
        call = Call(answered=False).ask(audio(100), SetMark("a"), ClearPlayback(), Answer())
        assert call.told == [MarkReached("a", CLEARED)]
        assert call.wait(1).sent == ['{"event":"answer"}']

    def test_call_may_be_hung_up_before_it_is_answered(self) -> None:
        call = Call(answered=False).ask(audio(1000), HangUp())
        assert call.sent == [HANGUP]
        assert call.wait(1.01).told == [CallEnded(EndReason.AGENT_HUNG_UP)]

    def test_caller_may_be_heard_before_the_answer(self) -> None:
        call = Call(answered=False).hear(b"\1\2")
        assert call.told == [AudioReceived(b"\1\2", 0, 1)]


class TestMarks:
    @pytest.mark.parametrize("interrupt", [False, True])
    @pytest.mark.parametrize("ms", [1, 20, 65, 1000])
    def test_mark_is_played_when_its_audio_was_heard_and_not_before(
        self, ms: int, interrupt: bool
    ) -> None:
        call = Call(interrupt=interrupt).ask(audio(ms), SetMark("a"), audio(1000))
        assert call.wait(ms / 1000 - 0.0005).told == []
        assert call.wait(0.001).told == [MarkReached("a", PLAYED, ms)]
        assert call.words == []

    def test_mark_without_audio_is_played_at_once(self) -> None:
        assert Call().ask(SetMark("a")).told == [MarkReached("a", PLAYED, 0)]

    @pytest.mark.parametrize("interrupt", [False, True])
    def test_cleared_mark_tells_how_much_was_heard(self, interrupt: bool) -> None:
        call = Call(interrupt=interrupt).ask(audio(1000), SetMark("a")).wait(0.3)
        assert call.ask(ClearPlayback()).told == [MarkReached("a", CLEARED, 300)]
        assert call.wait(5).told == [MarkReached("a", CLEARED, 300)]

    def test_mark_is_lost_when_the_caller_hangs_up_first(self) -> None:
        call = Call().ask(audio(1000), SetMark("a")).wait(0.3)
        assert call.hear(HANGUP).told == [MarkReached("a", LOST, 300)]


class TestClear:
    def test_interrupt_is_sent_to_peers_that_know_it(self) -> None:
        call = Call(interrupt=True).ask(audio(1000)).wait(0.1).ask(ClearPlayback()).wait(1)
        assert call.words == [{"event": "interrupt"}]
        assert call.sent_ms == pytest.approx(300, abs=20)

    def test_others_get_no_word_and_little_ahead(self) -> None:
        call = Call().ask(audio(1000)).wait(0.1).ask(ClearPlayback()).wait(1)
        assert call.words == []
        assert call.sent_ms == pytest.approx(160, abs=20)


class TestKeys:
    @pytest.mark.parametrize(("duration_ms", "told"), [(0, 100), (1, 1), (1000, 1000)])
    def test_each_key_is_a_message(self, duration_ms: int, told: int) -> None:
        call = Call().ask(SendDtmf("0#", duration_ms))
        assert call.words == [
            {"event": "dtmf", "digit": "0", "duration": told},
            {"event": "dtmf", "digit": "#", "duration": told},
        ]

    @pytest.mark.parametrize(
        ("digits", "duration_ms"), [("A", 0), ("1B", 0), ("x", 0), ("1", 1001)]
    )
    def test_what_the_protocol_has_not_is_refused_whole(
        self, digits: str, duration_ms: int
    ) -> None:
        adapter = SunvoneAdapter(SunvoneOptions())
        with pytest.raises(UnsupportedError):
            adapter.send(SendDtmf(digits, duration_ms))
        assert adapter.messages_to_send() == []

    def test_each_kind_of_refusal_is_told_once(self) -> None:
        call = Call().ask(*[SendDtmf("A")] * 3, *[SendDtmf("1", 2000)] * 3)
        details = [event.detail for event in call.told if isinstance(event, ProviderFailed)]
        assert len(details) == len(set(details)) == 2


class TestRecord:
    @pytest.mark.parametrize("ends", ["agent", "caller"])
    @pytest.mark.parametrize("then", ["socket stays", "socket closes"])
    def test_record_after_the_hanging_up_is_kept(self, ends: str, then: str) -> None:
        call = Call()
        call.hear(HANGUP) if ends == "caller" else call.ask(HangUp())
        call.wait(0.9)
        assert call.told == []
        call.hear(CDR)
        if then == "socket closes":
            call.lose_socket()
        reason = EndReason.CALLER_HUNG_UP if ends == "caller" else EndReason.AGENT_HUNG_UP
        assert call.told == [CallEnded(reason, metadata={"cdr": RECORD})]

    @pytest.mark.parametrize("ends", ["agent", "caller"])
    def test_record_that_does_not_come_is_waited_for_a_second(self, ends: str) -> None:
        call = Call()
        call.hear(HANGUP) if ends == "caller" else call.ask(HangUp())
        assert call.wait(0.99).told == []
        (ended,) = call.wait(0.02 if ends == "caller" else 0.12).told
        assert isinstance(ended, CallEnded)
        assert ended.metadata == {}
        assert call.stream.close is not None

    def test_record_before_the_hanging_up_ends_the_call(self) -> None:
        call = Call().hear(CDR, HANGUP).lose_socket()
        assert call.told == [CallEnded(EndReason.CALLER_HUNG_UP, metadata={"cdr": RECORD})]

    def test_socket_that_closes_without_a_record_ends_the_call(self) -> None:
        call = Call().hear(HANGUP).lose_socket()
        assert call.told == [CallEnded(EndReason.CALLER_HUNG_UP)]

    def test_record_of_a_call_that_was_not_answered_may_lack_things(self) -> None:
        call = (
            Call(answered=False)
            .hear(HANGUP)
            .hear('{"event":"cdr","answerTime":null,"duration":0,"hangupCauseCode":19}')
        )
        record = {"duration": "0", "hangup_cause_code": "19"}
        assert call.told == [CallEnded(EndReason.CALLER_HUNG_UP, metadata={"cdr": record})]


def test_audio_after_the_hanging_up_is_not_heard() -> None:
    assert Call().hear(HANGUP, b"\1\2").told == []


def test_odd_byte_waits_for_its_other_half() -> None:
    call = Call().hear(b"abc", b"d", b"e", b"f")
    payloads = [event.payload for event in call.told if isinstance(event, AudioReceived)]
    assert b"".join(payloads) == b"abcdef"
    assert all(len(payload) % 2 == 0 for payload in payloads)
