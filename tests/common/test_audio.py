from __future__ import annotations

import av
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding

PCMU = AudioFormat.pcmu()
L16 = AudioFormat.pcm(16_000)
STEREO = AudioFormat(Encoding.L16, 8000, 2)
G722 = AudioFormat(Encoding.G722, 16_000)
OPUS = AudioFormat(Encoding.OPUS, 48_000)

SLICEABLE = st.builds(
    AudioFormat,
    st.sampled_from([e for e in Encoding if AudioFormat(e, 8000).is_sliceable]),
    st.sampled_from([8000, 16_000, 24_000, 44_100, 48_000]),
    st.integers(1, 2),
)


@pytest.mark.parametrize(
    ("audio_format", "frame_bytes"), [(PCMU, 160), (L16, 640), (STEREO, 640), (G722, 160)]
)
def test_frame_of_20_ms_has_the_bytes_that_providers_send(
    audio_format: AudioFormat, frame_bytes: int
) -> None:
    samples = audio_format.samples_for_ms(20)
    assert audio_format.bytes_for(samples) == frame_bytes
    assert audio_format.samples_in(frame_bytes) == samples
    assert audio_format.ms(samples) == 20


@given(SLICEABLE, st.integers(0, 1_000_000))
def test_bytes_of_whole_bytes_of_samples_count_as_those_samples(
    audio_format: AudioFormat, pairs: int
) -> None:
    samples = 2 * pairs  # a byte of G.722 holds two
    assert audio_format.samples_in(audio_format.bytes_for(samples)) == samples


@pytest.mark.parametrize("told_hz", [8000, 16_000])
def test_g722_has_its_samples_whatever_a_provider_tells(told_hz: int) -> None:
    told = AudioFormat(Encoding.G722, told_hz)
    assert told == G722 == AudioFormat.parse(f"G722/{told_hz}")
    assert msgspec.json.decode(f'["G722", {told_hz}]', type=AudioFormat) == G722
    assert (told.rate_hz, str(told)) == (16_000, "G722/16000")


def test_half_a_sample_does_not_count() -> None:
    assert L16.samples_in(3) == 1


@pytest.mark.parametrize("encoding", [Encoding.OPUS, Encoding.AMR_WB, Encoding.MP3])
def test_packets_of_a_codec_cannot_be_sliced(encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 16_000)
    assert not audio_format.is_sliceable
    assert audio_format.samples_in(100) == 0
    with pytest.raises(ValueError, match="no fixed number of bytes"):
        audio_format.bytes_for(160)


def test_silence_is_what_a_decoder_takes_for_zero() -> None:
    assert PCMU.silence(2) == b"\xff\xff"
    assert AudioFormat(Encoding.PCMA, 8000).silence(1) == b"\xd5"
    assert L16.silence(2) == bytes(2)


@pytest.mark.parametrize("said", [b"", b"\x3a\xc5" * 400], ids=["nothing", "noise at full scale"])
def test_silence_of_g722_dies_down_whatever_was_said(said: bytes) -> None:
    decoder = av.CodecContext.create("g722", "r")
    packet = av.Packet(said + G722.silence(800))
    pcm = np.concatenate([frame.to_ndarray()[0] for frame in decoder.decode(packet)])
    assert np.abs(pcm[-1440:].astype(int)).max() < 100


def test_silence_of_a_codec_in_packets_is_refused() -> None:
    with pytest.raises(ValueError, match="no byte that means silence"):
        OPUS.silence(1)


def test_name_tells_the_channels_only_where_there_are_more_than_one() -> None:
    assert [str(f) for f in (PCMU, L16, STEREO)] == ["PCMU/8000", "L16/16000", "L16/8000/2"]
