from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from ops.phone import speech
from ops.phone.dialect import AudioToPlay, Fault
from ops.phone.ear import Ear
from tests.ops.phone.codecs_for_tests import need_encoder

PACKETS = [
    AudioFormat(Encoding.OPUS, 8000),
    AudioFormat(Encoding.OPUS, 16_000),
    AudioFormat(Encoding.OPUS, 48_000),
    AudioFormat(Encoding.AMR_WB, 16_000),
]


@pytest.mark.parametrize("audio_format", PACKETS, ids=str)
def test_packets_last_as_long_as_they_decode_to(audio_format: AudioFormat) -> None:
    need_encoder(audio_format)
    ear = Ear(audio_format)
    for packet in speech.tune(audio_format, chunk_ms=20, seconds=0.2):
        assert ear.hear(packet) == AudioToPlay(packet, audio_format.rate_hz // 50)


def test_bytes_are_counted_where_they_tell() -> None:
    g722 = AudioFormat(Encoding.G722, 16_000)
    assert Ear(g722).hear(bytes(160)) == AudioToPlay(bytes(160), 320)
    assert isinstance(Ear(AudioFormat.pcm(8000)).hear(b"abc"), Fault)


@pytest.mark.parametrize("payload", [b"", b"\xfb\x00"])
def test_what_a_decoder_refuses_is_a_fault(payload: bytes) -> None:
    fault = Ear(AudioFormat(Encoding.OPUS, 16_000)).hear(payload)
    assert isinstance(fault, Fault)
    assert fault.text.startswith(f"{len(payload)} bytes are no packet of OPUS/16000: ")


@pytest.mark.parametrize("audio_format", PACKETS, ids=str)
@given(payload=st.binary(max_size=100))
def test_any_bytes_are_audio_or_a_fault(audio_format: AudioFormat, payload: bytes) -> None:
    assert isinstance(Ear(audio_format).hear(payload), AudioToPlay | Fault)
