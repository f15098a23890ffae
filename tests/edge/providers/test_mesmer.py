"""mesmer's frames exactly as its specification prints them, traps included."""

from __future__ import annotations

import pytest

from common.audio import AudioFormat
from common.commands import Answer, ClearPlayback, Command, HangUp, PlayAudio, SendDtmf, SetMark
from common.errors import UnsupportedError
from common.events import CallEnded, CallStarted, EndReason
from edge.adapter import Ignored, MarkEchoed, MediaReceived, NoOptions, Receipt
from edge.providers.mesmer import MesmerAdapter

CONNECTED = '{"event":"connected"}'
START = (
    '{"event":"start","start":{"callSid":"CA1","streamSid":"MZ1","accountSid":"AC1",'
    '"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}'
)
STARTED = CallStarted(
    provider="mesmer",
    format=AudioFormat.pcmu(),
    provider_call_id="CA1",
    provider_stream_id="MZ1",
    metadata={"account_sid": "AC1"},
    reports_dtmf=False,
)
STOP = '{"event":"stop","stop":{"streamSid":"MZ1","callSid":"CA1","accountSid":"AC1"}}'
MEDIA = '{"event":"media","streamSid":"MZ1","media":{"timestamp":0,"payload":"/38A"}}'
MARK = '{"event":"mark","streamSid":"MZ1","mark":{"name":"my label"}}'
ENDED = CallEnded(EndReason.CALLER_HUNG_UP)

# What a message means once the stream MZ1 is open.
RECEIVED: list[tuple[str, Receipt]] = [
    (MEDIA, MediaReceived(b"\xff\x7f\x00")),
    (MARK, MarkEchoed("my label")),
    (STOP, ENDED),
]
# What a command is in mesmer's words, and what it would mean if it came back.
SENT: list[tuple[Command, str, Receipt]] = [
    (
        PlayAudio(b"\xff\x7f\x00"),
        '{"event":"media","streamSid":"MZ1","media":{"payload":"/38A"}}',
        MediaReceived(b"\xff\x7f\x00"),
    ),
    (SetMark("my label"), MARK, MarkEchoed("my label")),
    (ClearPlayback(), '{"event":"clear","streamSid":"MZ1"}', Ignored("unknown_event")),
]


@pytest.fixture
def adapter() -> MesmerAdapter:
    adapter = MesmerAdapter(NoOptions())
    assert adapter.receive(START) == [STARTED]
    return adapter


@pytest.mark.parametrize(("message", "receipt"), RECEIVED)
def test_message_is_understood(adapter: MesmerAdapter, message: str, receipt: Receipt) -> None:
    assert adapter.receive(message) == [receipt]


@pytest.mark.parametrize(("command", "message", "_"), SENT)
def test_command_is_put_into_words(
    adapter: MesmerAdapter, command: Command, message: str, _: Receipt
) -> None:
    adapter.send(command)
    assert adapter.messages_to_send() == [message]
    assert adapter.messages_to_send() == []


@pytest.mark.parametrize(("_", "message", "receipt"), SENT)
def test_words_of_ours_mean_the_same_when_they_come_back(
    adapter: MesmerAdapter, _: Command, message: str, receipt: Receipt
) -> None:
    assert adapter.receive(message) == [receipt]


def test_connected_carries_nothing_and_says_nothing() -> None:
    assert MesmerAdapter(NoOptions()).receive(CONNECTED) == []


def test_start_may_name_its_stream_at_the_top_as_well() -> None:
    top = START.replace('"start",', '"start","streamSid":"MZ1",')
    assert MesmerAdapter(NoOptions()).receive(top) == [STARTED]


@pytest.mark.parametrize(
    "stop",
    [
        '{"event":"stop"}',
        '{"event":"stop","stop":{}}',
        '{"event":"stop","streamSid":"MZ1"}',
        '{"event":"stop","stop":{"streamSid":"MZ1"}}',
    ],
)
def test_stop_may_name_its_stream_anywhere_or_not_at_all(adapter: MesmerAdapter, stop: str) -> None:
    assert adapter.receive(stop) == [ENDED]


def test_start_without_an_id_is_ignored() -> None:
    assert MesmerAdapter(NoOptions()).receive('{"event":"start","start":{}}') == [Ignored("no_id")]


def test_mesmer_has_no_digits(adapter: MesmerAdapter) -> None:
    dtmf = '{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"1"}}'
    assert adapter.receive(dtmf) == [Ignored("unknown_event")]
    with pytest.raises(UnsupportedError):
        adapter.send(SendDtmf("1"))


def test_mesmer_has_no_word_for_answering_and_hanging_up(adapter: MesmerAdapter) -> None:
    adapter.send(Answer())
    adapter.send(HangUp())
    assert adapter.messages_to_send() == []
