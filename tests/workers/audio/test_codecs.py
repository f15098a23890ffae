from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from tests.workers.audio.likeness import decoded, encoded, likeness, resampled, sine, speech
from tests.workers.audio.test_amr_wb import needs_encoder
from workers.audio import amr_wb, codecs, g711, g722, opus
from workers.audio.amr_wb import AmrWbDecoder, AmrWbEncoder
from workers.audio.amr_wb_payload import Frame, Packing, Payload, pack
from workers.audio.codec import Encoded, Pcm
from workers.audio.codecs import follow, open_decoder, open_encoder

RAMP = np.arange(-32_768, 32_768, 257).astype(np.int16)
PLAIN = [Encoding.PCMU, Encoding.PCMA, Encoding.L16, Encoding.L16BE]
REMEMBERING = sorted(set(Encoding) - set(PLAIN))

AGENT_RATES = [8000, 16_000, 24_000]
COMPARED_AT = 48_000  # where half a sample is little


class Codec(NamedTuple):
    """What a call may be encoded in, how alike speech must stay, and how much later it may be."""

    format: AudioFormat
    correlation: float
    delay_ms: float = 0.0


CODECS = [
    *(Codec(AudioFormat(each, 8000), 0.99) for each in (Encoding.PCMU, Encoding.PCMA)),
    *(Codec(AudioFormat(Encoding.L16, rate), 0.999) for rate in AGENT_RATES),
    *(Codec(AudioFormat(Encoding.L16BE, rate), 0.999) for rate in AGENT_RATES),
    Codec(AudioFormat(Encoding.G722, 8000), 0.99, g722.DELAY_MS),
    *(
        Codec(AudioFormat(Encoding.OPUS, rate), 0.95, opus.DELAY_MS)
        for rate in (8000, 16_000, 24_000, 48_000)
    ),
    pytest.param(
        Codec(AudioFormat(Encoding.AMR_WB, 16_000), 0.95, amr_wb.DELAY_MS), marks=needs_encoder
    ),
]


def said_and_heard(audio_format: AudioFormat, pcm: Pcm, agent_hz: int) -> Pcm:
    """From an agent at its rate, through the codec at its own, to an agent again."""
    encoder, decoder = open_encoder(audio_format), open_decoder(audio_format)
    payloads = encoded(encoder, resampled(pcm, agent_hz, encoder.rate_hz))
    return resampled(decoded(decoder, payloads), decoder.rate_hz, agent_hz)


@pytest.mark.parametrize("agent_hz", AGENT_RATES)
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: str(codec.format))
@pytest.mark.parametrize("signal", [speech, sine])
def test_every_codec_at_every_rate_of_an_agent(
    signal: Callable[[int], Pcm], codec: Codec, agent_hz: int
) -> None:
    pcm = signal(agent_hz)
    heard = said_and_heard(codec.format, pcm, agent_hz)
    one, other = (resampled(each, agent_hz, COMPARED_AT) for each in (pcm, heard))
    found = likeness(one, other, COMPARED_AT)
    assert found.correlation >= (codec.correlation if signal is speech else 0.9)
    assert found.delay_ms <= codec.delay_ms + 5
    packet_samples = agent_hz // 50
    assert len(pcm) <= len(heard) + 3 <= len(pcm) + packet_samples + 3


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: str(codec.format))
def test_payloads_tell_how_long_they_are(codec: Codec) -> None:
    encoder = open_encoder(codec.format)
    pcm = np.zeros(encoder.rate_hz, np.int16)
    assert sum(each.samples for each in encoded(encoder, pcm)) == codec.format.rate_hz


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


def test_mp3_is_only_heard() -> None:
    with pytest.raises(AgentError, match="there is no encoder for MP3/44100"):
        open_encoder(AudioFormat(Encoding.MP3, 44_100))
    assert open_decoder(AudioFormat(Encoding.MP3, 44_100)).rate_hz == 44_100


@needs_encoder
def test_what_the_other_side_asks_for_reaches_the_encoder() -> None:
    audio_format = AudioFormat(Encoding.AMR_WB, 16_000)
    encoder, decoder = open_encoder(audio_format), open_decoder(audio_format)
    assert isinstance(encoder, AmrWbEncoder)
    assert isinstance(decoder, AmrWbDecoder)
    follow(encoder, decoder)
    decoder.decode(pack(Payload(8, (Frame(9, True, bytes(5)),)), Packing.OCTET_ALIGNED))
    (sent,) = encoder.encode(np.zeros(320, np.int16))
    assert len(sent.payload) == 62


def test_codecs_that_ask_for_nothing_may_be_followed_too() -> None:
    follow(open_encoder(AudioFormat.pcmu()), open_decoder(AudioFormat(Encoding.OPUS, 48_000)))
