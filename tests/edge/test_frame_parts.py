from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest

from common.audio import AudioFormat, Encoding
from common.errors import ViolationError
from edge.frame_parts import DtmfBody, MarkBody, MediaBody, MediaFormat, StreamNamed

PartT = TypeVar("PartT")


def read(part: type[PartT], text: str) -> PartT:
    """As the providers' decoders do: numbers may be text."""
    return msgspec.json.decode(text, type=part, strict=False)


@pytest.mark.parametrize(
    ("text", "stream_id"),
    [
        ('{"streamSid":"MZ1"}', "MZ1"),
        ('{"stream_sid":"MZ1"}', "MZ1"),
        ('{"stream_sid":"MZ2","streamSid":"MZ1"}', "MZ1"),
        ('{"streamSid":"","stream_sid":"MZ1"}', "MZ1"),
        ("{}", ""),
    ],
)
def test_stream_is_named_in_either_spelling(text: str, stream_id: str) -> None:
    assert read(StreamNamed, text).stream_id == stream_id


def test_audio_is_what_the_description_says() -> None:
    told = read(MediaFormat, '{"encoding":"audio/x-alaw","sampleRate":"8000","channels":1}')
    assert told.audio() == AudioFormat(Encoding.PCMA, 8000)


def test_audio_that_is_not_described_is_twilios() -> None:
    assert read(MediaFormat, "{}").audio() == AudioFormat.pcmu()


@pytest.mark.parametrize("text", ['{"encoding":"mp3"}', '{"channels":2}', '{"sampleRate":0}'])
def test_audio_that_nobody_can_read_is_a_violation(text: str) -> None:
    with pytest.raises(ViolationError):
        read(MediaFormat, text).audio()


def test_media_may_be_without_track_and_number() -> None:
    assert read(MediaBody, '{"payload":"/38A"}') == MediaBody(b"\xff\x7f\x00", "inbound", None)


@pytest.mark.parametrize("chunk", ["7", '"7"'])
def test_number_may_be_text_or_not(chunk: str) -> None:
    told = read(MediaBody, f'{{"payload":"","track":"outbound","chunk":{chunk}}}')
    assert told == MediaBody(b"", "outbound", 7)


@pytest.mark.parametrize("chunk", ["-1", '"-1"', "1.5", '"x"', '""', str(2**53 + 1), str(2**64)])
def test_number_that_counts_nothing_is_refused(chunk: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(MediaBody, f'{{"payload":"","chunk":{chunk}}}')


def test_a_digit_and_a_name_must_be_there() -> None:
    assert read(DtmfBody, '{"digit":"#","track":"inbound_track"}') == DtmfBody("#")
    assert read(MarkBody, '{"name":"a"}') == MarkBody("a")
    for part in (DtmfBody, MarkBody):
        with pytest.raises(msgspec.ValidationError):
            read(part, "{}")
