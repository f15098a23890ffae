from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from ops.phone.dialect import AudioToPlay, Fault, WsMessage, audio_to_play, decode


class _Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int


DECODER = msgspec.json.Decoder(_Frame)


def test_valid_message_is_decoded() -> None:
    assert decode('{"number":1}', DECODER) == _Frame(1)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b'{"number":1}', "a binary message on a text protocol"),
        ("", "not a message of this protocol"),
        ("{", "not a message of this protocol"),
        ("[1]", "Expected `object`"),
        ("{}", "missing required field `number`"),
        ('{"number":"1"}', "Expected `int`, got `str`"),
        ('{"number":1,"more":2}', "unknown field `more`"),
        ('{"number":1} {"number":2}', "not a message of this protocol"),
        ("\ud800", "not a message of this protocol"),
        ("[" * 100_000, "not a message of this protocol"),
    ],
    ids=range(10),
)
def test_anything_else_is_a_fault_that_says_why(message: WsMessage, words: str) -> None:
    fault = decode(message, DECODER)
    assert isinstance(fault, Fault)
    assert words in fault.text


@given(st.text() | st.binary())
def test_no_message_raises(message: WsMessage) -> None:
    value = decode(message, DECODER)
    assert isinstance(value, _Frame | Fault)


def test_audio_is_whole_samples() -> None:
    assert audio_to_play(b"\xff", AudioFormat.pcmu()) == AudioToPlay(b"\xff", 1)
    assert audio_to_play(b"\x00\x01", AudioFormat.pcm(8000)) == AudioToPlay(b"\x00\x01", 1)
    assert isinstance(audio_to_play(b"\x00\x01\x02", AudioFormat.pcm(8000)), Fault)
    assert isinstance(audio_to_play(b"", AudioFormat.pcmu()), Fault)
    assert audio_to_play(b"\xff", AudioFormat(Encoding.G722, 16_000)) == AudioToPlay(b"\xff", 2)
