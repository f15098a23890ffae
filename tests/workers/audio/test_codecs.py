from __future__ import annotations

import numpy as np
import pytest

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from workers.audio import codecs, g711
from workers.audio.codec import Encoded
from workers.audio.codecs import open_decoder, open_encoder

RAMP = np.arange(-32_768, 32_768, 257).astype(np.int16)
PLAIN = [Encoding.PCMU, Encoding.PCMA, Encoding.L16, Encoding.L16BE]
REMEMBERING = sorted(set(Encoding) - set(PLAIN))


@pytest.mark.parametrize("encoding", PLAIN)
def test_what_was_decoded_encodes_to_what_it_was(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 8000)
    payload = codecs.encode(RAMP, audio_format)
    decoded = codecs.decode(payload, audio_format)
    assert decoded.dtype == np.int16
    assert codecs.encode(decoded, audio_format) == payload


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000])
@pytest.mark.parametrize("encoding", PLAIN)
def test_codec_of_a_call_gives_what_the_plain_functions_give(
    encoding: Encoding, rate_hz: int
) -> None:
    audio_format = AudioFormat(encoding, rate_hz)
    decoder, encoder = open_decoder(audio_format), open_encoder(audio_format)
    payload = codecs.encode(RAMP, audio_format)
    assert (decoder.rate_hz, encoder.rate_hz) == (rate_hz, rate_hz)
    assert encoder.encode(RAMP) == [Encoded(payload, len(RAMP))]
    assert decoder.decode(payload).tolist() == codecs.decode(payload, audio_format).tolist()


def test_g711_is_what_its_module_says() -> None:
    assert codecs.encode(RAMP, AudioFormat.pcmu()) == g711.encode_mulaw(RAMP)
    assert codecs.encode(RAMP, AudioFormat(Encoding.PCMA, 8000)) == g711.encode_alaw(RAMP)


@pytest.mark.parametrize("encoding", PLAIN)
def test_silence_decodes_to_silence(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 8000)
    decoded = codecs.decode(audio_format.silence(320), audio_format)
    assert np.abs(decoded.astype(int)).max() <= 8


@pytest.mark.parametrize("encoding", PLAIN)
def test_nothing_is_nothing(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 8000)
    assert codecs.decode(b"", audio_format).size == 0
    assert codecs.encode(np.zeros(0, np.int16), audio_format) == b""


@pytest.mark.parametrize("encoding", REMEMBERING)
def test_a_codec_that_remembers_is_opened_for_a_call(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 16_000)
    with pytest.raises(AgentError, match=f"there is no codec for {audio_format}"):
        codecs.decode(b"x", audio_format)
    with pytest.raises(AgentError, match=f"there is no codec for {audio_format}"):
        codecs.encode(RAMP, audio_format)


@pytest.mark.parametrize("encoding", sorted(set(Encoding) - {Encoding.MP3}))
def test_more_channels_than_one_are_refused(encoding: Encoding) -> None:
    stereo = AudioFormat(encoding, 16_000, 2)
    for opened in (open_decoder, open_encoder):
        with pytest.raises(AgentError, match=rf"^{stereo} has 2 channels: one is needed$"):
            opened(stereo)
