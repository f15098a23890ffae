from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common.audio import AudioFormat, Encoding
from common.commands import Answer, ClearPlayback, HangUp, PlayAudio, SendDtmf, SetMark
from common.errors import MessageError, UnsupportedError, ViolationError
from common.events import DIGITS
from edge.adapter import Message
from edge.frames import JsonChannel, audio_format, decode, valid_digit, valid_id


class Ping(msgspec.Struct, tag_field="event", tag="ping"):
    number: int = 0


class Pong(msgspec.Struct, tag_field="event", tag="pong"):
    data: bytes = b""


DECODER: msgspec.json.Decoder[Ping | Pong] = msgspec.json.Decoder(Ping | Pong)


def open_channel(id_field: str | None = "streamSid", stream_id: str = "s1") -> JsonChannel:
    channel = JsonChannel(id_field)
    channel.open(stream_id)
    return channel


def sent(channel: JsonChannel) -> list[Any]:
    messages = channel.messages_to_send()
    assert all(isinstance(message, str) for message in messages)
    return [msgspec.json.decode(message) for message in messages]


def ignored_as(message: Message) -> str:
    with pytest.raises(MessageError) as raised:
        decode(DECODER, message)
    return raised.value.reason


def test_frame_is_read() -> None:
    assert decode(DECODER, '{"number": 3, "event": "ping"}') == Ping(3)


@pytest.mark.parametrize("message", ['{"event":"fax"}', '{"event":"fax","number":"x"}'])
def test_event_that_the_provider_never_documented_is_told_apart(message: str) -> None:
    assert ignored_as(message) == "unknown_event"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{}",
        "[]",
        "null",
        "NaN",
        '{"event":1}',
        '{"event":null}',
        '{"event":"ping"',
        '{"event":"ping"} x',
        '\ufeff{"event":"ping"}',
        '{"event":"ping","number":"3"}',
        '{"event":"ping","other":NaN}',
        '{"event":"ping","other":"\ud800"}',
        '{"event":"ping","other":' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=lambda message: message[:30] or "empty",
)
def test_message_that_is_no_frame_is_malformed(message: str) -> None:
    assert ignored_as(message) == "malformed"


def test_last_of_two_equal_keys_wins() -> None:
    assert decode(DECODER, '{"event":"ping","number":1,"number":2}') == Ping(2)


def test_binary_message_is_a_violation() -> None:
    with pytest.raises(ViolationError) as raised:
        decode(DECODER, b'{"event":"ping"}')
    assert raised.value.code == 1003


@pytest.mark.parametrize("text", ["s1", "a" * 128, "{x}", "a|b", "Zoë 1"])
def test_id_may_be_any_printable_text(text: str) -> None:
    assert valid_id(text) == text


@pytest.mark.parametrize("text", ["a" * 129, "a\0", "a\r\nb", "\x7f", "a\u202eb", "a\u2028b"])
def test_id_that_could_harm_a_log_is_a_violation(text: str) -> None:
    with pytest.raises(ViolationError) as raised:
        valid_id(text)
    assert (raised.value.code, raised.value.reason) == (1008, "invalid id")


def test_missing_id_is_ignored() -> None:
    with pytest.raises(MessageError, match="no_id"):
        valid_id("")


def test_digits_are_the_keys_of_a_telephone() -> None:
    assert len(DIGITS) == 16
    assert [valid_digit(digit) for digit in "0#*D"] == list("0#*D")


@pytest.mark.parametrize("text", ["", "12", "E", "a", "\u0661"])
def test_anything_else_is_no_digit(text: str) -> None:
    with pytest.raises(MessageError, match="malformed"):
        valid_digit(text)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("audio/x-mulaw", Encoding.PCMU),
        ("PCMU", Encoding.PCMU),
        ("audio/x-alaw", Encoding.PCMA),
        ("audio/L16", Encoding.L16),
        ("OPUS", Encoding.OPUS),
        ("AMR-WB", Encoding.AMR_WB),
        ("G722", Encoding.G722),
    ],
)
def test_encoding_is_known_by_the_names_that_providers_use(name: str, encoding: Encoding) -> None:
    assert audio_format(name, 16_000, 1) == AudioFormat(encoding, 16_000)


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels"),
    [("speex", 8000, 1), ("PCMU", 8000, 2), ("PCMU", 0, 1), ("PCMU", -8000, 1), ("L16", 10**9, 1)],
)
def test_format_that_nobody_can_read_is_a_violation(name: str, rate_hz: int, channels: int) -> None:
    with pytest.raises(ViolationError) as raised:
        audio_format(name, rate_hz, channels)
    assert raised.value.code == 1003


def test_commands_name_the_stream() -> None:
    channel = open_channel()
    for command in (PlayAudio(b"\xff\x7f"), SetMark('a "mark"'), ClearPlayback()):
        channel.send(command)
    assert sent(channel) == [
        {"event": "media", "streamSid": "s1", "media": {"payload": "/38="}},
        {"event": "mark", "streamSid": "s1", "mark": {"name": 'a "mark"'}},
        {"event": "clear", "streamSid": "s1"},
    ]
    assert sent(channel) == []


def test_provider_that_wants_no_id_gets_none() -> None:
    channel = open_channel(None)
    channel.send(PlayAudio(b"\xff"))
    channel.send(ClearPlayback())
    assert sent(channel) == [{"event": "media", "media": {"payload": "/w=="}}, {"event": "clear"}]


@pytest.mark.parametrize("stream_id", ["a|b", "|", '"', "{payload}", "\\", "é"])
def test_id_of_odd_characters_does_not_disturb_audio(stream_id: str) -> None:
    channel = open_channel(stream_id=stream_id)
    channel.send(PlayAudio(b"\xff"))
    assert sent(channel) == [
        {"event": "media", "streamSid": stream_id, "media": {"payload": "/w=="}}
    ]


def test_nothing_is_sent_where_the_family_has_no_word() -> None:
    channel = open_channel()
    channel.send(Answer())
    channel.send(HangUp())
    assert sent(channel) == []


def test_digits_cannot_be_sent() -> None:
    with pytest.raises(UnsupportedError):
        open_channel().send(SendDtmf("1"))


@pytest.mark.parametrize(("stream_id", "reason"), [("", "no_id"), ("s2", "other_stream")])
def test_frame_of_another_stream_is_ignored(stream_id: str, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        open_channel().check(stream_id)


def test_frame_of_this_stream_is_heard() -> None:
    open_channel().check("s1")


def test_stream_is_not_changed_by_the_start_of_another() -> None:
    channel = open_channel()
    with pytest.raises(MessageError, match="other_stream"):
        channel.open("s2")
    assert channel.stream_id == "s1"
    channel.send(ClearPlayback())
    assert sent(channel) == [{"event": "clear", "streamSid": "s1"}]
