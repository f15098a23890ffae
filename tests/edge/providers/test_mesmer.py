"""mesmer's frames exactly as its specification prints them, traps included."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat
from common.commands import Answer, ClearPlayback, Command, HangUp, PlayAudio, SendDtmf, SetMark
from common.errors import UnsupportedError
from common.events import CallEnded, CallStarted, EndReason
from edge.adapter import Ignored, MarkEchoed, MediaReceived, NoOptions, Receipt, Violated
from edge.providers.mesmer import MesmerAdapter
from tests.edge.providers.garbage import BAD_BASE64, FRAMES_OF_GARBAGE, MESSAGES

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


@pytest.mark.parametrize("timestamp", ["0", "20", "-1", "1.5", "3600000", '"20"', "1e400", "null"])
def test_timestamp_is_not_looked_at(adapter: MesmerAdapter, timestamp: str) -> None:
    (receipt,) = adapter.receive(MEDIA.replace('"timestamp":0', f'"timestamp":{timestamp}'))
    assert receipt == MediaReceived(b"\xff\x7f\x00")


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


@pytest.mark.parametrize("message", [message for message, _ in RECEIVED])
def test_message_of_another_stream_is_ignored(adapter: MesmerAdapter, message: str) -> None:
    assert adapter.receive(message.replace("MZ1", "MZ2")) == [Ignored("other_stream")]


@pytest.mark.parametrize("message", [MEDIA, MARK])
def test_message_without_an_id_is_ignored(adapter: MesmerAdapter, message: str) -> None:
    assert adapter.receive(message.replace('"streamSid":"MZ1",', "")) == [Ignored("no_id")]


def test_start_without_an_id_is_ignored() -> None:
    assert MesmerAdapter(NoOptions()).receive('{"event":"start","start":{}}') == [Ignored("no_id")]


@pytest.mark.parametrize("bad", ["a" * 129, "a\0b", "a\r\nb"])
@pytest.mark.parametrize("good", ["MZ1", "CA1"])
def test_start_with_an_id_that_is_none_is_a_violation(good: str, bad: str) -> None:
    start = START.replace(f'"{good}"', msgspec.json.encode(bad).decode())
    assert MesmerAdapter(NoOptions()).receive(start) == [Violated(1008, "invalid id")]


def test_second_start_is_left_to_the_state_table(adapter: MesmerAdapter) -> None:
    assert adapter.receive(START) == [STARTED]


def test_start_of_another_stream_is_ignored(adapter: MesmerAdapter) -> None:
    assert adapter.receive(START.replace("MZ1", "MZ2")) == [Ignored("other_stream")]
    assert adapter.receive(MEDIA) == [MediaReceived(b"\xff\x7f\x00")]


@pytest.mark.parametrize("message", FRAMES_OF_GARBAGE)
def test_frame_that_is_not_mesmers_is_ignored(adapter: MesmerAdapter, message: str) -> None:
    (receipt,) = adapter.receive(message)
    assert isinstance(receipt, Ignored)
    assert receipt.reason in ("malformed", "unknown_event")


def test_mesmer_has_no_digits(adapter: MesmerAdapter) -> None:
    dtmf = '{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"1"}}'
    assert adapter.receive(dtmf) == [Ignored("unknown_event")]
    with pytest.raises(UnsupportedError):
        adapter.send(SendDtmf("1"))


@pytest.mark.parametrize("payload", BAD_BASE64)
def test_payload_that_is_no_base64_is_ignored(adapter: MesmerAdapter, payload: str) -> None:
    frame = {"event": "media", "streamSid": "MZ1", "media": {"payload": payload}}
    assert adapter.receive(msgspec.json.encode(frame).decode()) == [Ignored("malformed")]


def test_last_of_two_equal_keys_wins(adapter: MesmerAdapter) -> None:
    twice = MARK.replace('"name"', '"name":"a","name"').replace(
        '"stream', '"streamSid":"x","stream'
    )
    assert adapter.receive(twice) == [MarkEchoed("my label")]


def test_binary_message_is_a_violation(adapter: MesmerAdapter) -> None:
    assert adapter.receive(MEDIA.encode()) == [Violated(1003, "binary message on a text protocol")]


def test_mesmer_has_no_word_for_answering_and_hanging_up(adapter: MesmerAdapter) -> None:
    adapter.send(Answer())
    adapter.send(HangUp())
    assert adapter.messages_to_send() == []


@given(st.lists(MESSAGES | st.sampled_from([START, STOP, MEDIA, CONNECTED]), max_size=5))
def test_whatever_comes_the_answer_is_a_list_of_values(messages: list[str | bytes]) -> None:
    adapter = MesmerAdapter(NoOptions())
    for message in messages:
        for receipt in adapter.receive(message):
            assert isinstance(receipt, Receipt)
