from __future__ import annotations

import numpy as np
import pytest

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from workers.audio import codecs, g711

RAMP = np.arange(-32_768, 32_768, 257).astype(np.int16)
WITH_CODEC = [Encoding.PCMU, Encoding.PCMA, Encoding.L16, Encoding.L16BE]
WITHOUT = sorted(set(Encoding) - set(WITH_CODEC))


@pytest.mark.parametrize("encoding", WITH_CODEC)
def test_what_was_decoded_encodes_to_what_it_was(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 8000)
    payload = codecs.encode(RAMP, audio_format)
    decoded = codecs.decode(payload, audio_format)
    assert decoded.dtype == np.int16
    assert codecs.encode(decoded, audio_format) == payload


@pytest.mark.parametrize("encoding", [Encoding.L16, Encoding.L16BE])
def test_linear_samples_survive_exactly(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 16_000)
    assert codecs.decode(codecs.encode(RAMP, audio_format), audio_format).tolist() == RAMP.tolist()


def test_byte_orders() -> None:
    one = np.array([1, -2], np.int16)
    assert codecs.encode(one, AudioFormat(Encoding.L16, 8000)) == b"\x01\x00\xfe\xff"
    assert codecs.encode(one, AudioFormat(Encoding.L16BE, 8000)) == b"\x00\x01\xff\xfe"


def test_g711_is_what_its_module_says() -> None:
    assert codecs.encode(RAMP, AudioFormat.pcmu()) == g711.encode_mulaw(RAMP)
    assert codecs.encode(RAMP, AudioFormat(Encoding.PCMA, 8000)) == g711.encode_alaw(RAMP)


@pytest.mark.parametrize("encoding", WITH_CODEC)
def test_silence_decodes_to_silence(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 8000)
    decoded = codecs.decode(audio_format.silence(320), audio_format)
    assert np.abs(decoded.astype(int)).max() <= 8


@pytest.mark.parametrize("encoding", WITH_CODEC)
def test_nothing_is_nothing(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 8000)
    assert codecs.decode(b"", audio_format).size == 0
    assert codecs.encode(np.zeros(0, np.int16), audio_format) == b""


@pytest.mark.parametrize("encoding", WITHOUT)
def test_an_encoding_without_a_codec_is_named(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 16_000)
    with pytest.raises(AgentError, match=f"there is no codec for {audio_format}"):
        codecs.decode(b"x", audio_format)
    with pytest.raises(AgentError, match=f"there is no codec for {audio_format}"):
        codecs.encode(RAMP, audio_format)
