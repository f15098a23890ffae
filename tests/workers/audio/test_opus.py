from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import AgentError, CodecError
from tests.workers.audio.likeness import decoded, encoded, likeness, resampled, sine, speech
from workers.audio.codec import Decoder, Encoder, Pcm
from workers.audio.opus import DECODED_HZ, DELAY_MS, OpusDecoder, OpusEncoder

RATES = [8000, 16_000, 24_000, 48_000]


def packets(pcm: Pcm, layout: str, duration: str) -> list[bytes]:
    """By libopus, in ways that ours never encodes; `pcm` is interleaved, at 48 kHz."""
    context: Any = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = DECODED_HZ, layout, "s16"
    context.options = {"frame_duration": duration}
    context.open()
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate = DECODED_HZ
    return [bytes(packet) for packet in context.encode(frame)]


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("signal", [speech, sine])
def test_round_trip(signal: Any, rate_hz: int) -> None:
    pcm = signal(rate_hz)
    heard = decoded(OpusDecoder(), encoded(OpusEncoder(rate_hz), pcm))
    found = likeness(resampled(pcm, rate_hz, DECODED_HZ), heard, DECODED_HZ, max_delay_ms=12)
    assert found.correlation >= 0.95
    assert found.delay_ms == pytest.approx(DELAY_MS, abs=0.5)


@pytest.mark.parametrize("rate_hz", RATES)
def test_packets_last_20_ms_at_the_rate_of_the_format(rate_hz: int) -> None:
    encoder: Encoder = OpusEncoder(rate_hz)
    assert encoder.rate_hz == rate_hz
    size = rate_hz // 50
    found = encoder.encode(np.zeros(2 * size + 1, np.int16)) + encoder.flush()
    assert [each.samples for each in found] == [size] * 3
    assert encoder.flush() == []
    decoder: Decoder = OpusDecoder()
    assert decoder.rate_hz == 48_000
    assert [len(decoder.decode(each.payload)) for each in found] == [960] * 3


@pytest.mark.parametrize("duration", ["2.5", "5", "10", "20", "40", "60", "80", "100", "120"])
def test_packets_of_any_legal_length_are_heard(duration: str) -> None:
    pcm = speech(DECODED_HZ)[: DECODED_HZ * 12 // 10]
    decoder = OpusDecoder()
    parts = [decoder.decode(packet) for packet in packets(pcm, "mono", duration)]
    assert {len(part) for part in parts} == {int(float(duration) * 48)}
    found = likeness(pcm, np.concatenate(parts), DECODED_HZ, max_delay_ms=12)
    assert found.correlation >= 0.98


@pytest.mark.parametrize(("right", "loudness"), [(1, 1.0), (0, 0.5), (-1, 0.0)])
def test_two_channels_are_mixed(right: int, loudness: float) -> None:
    pcm = sine(DECODED_HZ)
    stereo = np.stack((pcm, right * pcm), axis=1).reshape(-1)
    decoder = OpusDecoder()
    heard = np.concatenate([decoder.decode(packet) for packet in packets(stereo, "stereo", "20")])
    assert heard.std() / pcm.std() == pytest.approx(loudness, abs=0.03)


def test_one_that_became_two_is_still_heard() -> None:
    """Some send two channels from the moment on when music plays."""
    decoder = OpusDecoder()
    pcm = sine(DECODED_HZ)
    for layout, samples in (("mono", pcm), ("stereo", np.repeat(pcm, 2)), ("mono", pcm)):
        assert {len(decoder.decode(p)) for p in packets(samples, layout, "20")} == {960}


@given(st.binary(max_size=200))
def test_any_bytes_are_audio_or_an_error_of_ours(payload: bytes) -> None:
    decoder = OpusDecoder()
    try:
        heard = decoder.decode(payload)
    except CodecError:
        pass
    else:
        assert 0 < len(heard) <= 5760
    good = OpusEncoder(8000).encode(np.zeros(160, np.int16))[0].payload
    assert len(decoder.decode(good)) == 960


def test_a_rate_that_opus_has_not_is_refused() -> None:
    with pytest.raises(AgentError, match="OPUS/44100 cannot be encoded: its rates are 8000"):
        OpusEncoder(44_100)
