from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import CodecError
from tests.workers.audio.likeness import likeness, resampled, speech
from workers.audio.codec import Decoder, Pcm
from workers.audio.mp3 import DELAY_MS, Mp3Decoder

# What an encoder adds before the first sample (LAME: 576) and where a filter bank ends, at 24 kHz.
ENCODER_MS = 48


def mp3(pcm: Pcm, rate_hz: int, *, layout: str = "mono", tag: bytes = b"") -> bytes:
    """A file: a tag, a frame about the file, audio. `pcm` is interleaved."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"id3v2_version": "0"}) as container:
        stream: Any = container.add_stream("libmp3lame", rate=rate_hz)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate_hz
        for each in (frame, None):
            for packet in stream.encode(each):
                container.mux(packet)
    return tag + file.getvalue()


def tag(size: int, *, flags: int = 0) -> bytes:
    """An ID3v2 tag whose content looks like MPEG audio."""
    sizes = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    footer = bytes(10) if flags & 0x10 else b""
    return b"ID3\x04\x00" + bytes([flags]) + sizes + b"\xff\xfb\x50\xc4" * (size // 4) + footer


def heard(content: bytes, rate_hz: int, *, step: int) -> Pcm:
    decoder = Mp3Decoder(rate_hz)
    pieces = [content[at : at + step] for at in range(0, len(content), step)]
    return np.concatenate([*map(decoder.decode, pieces), decoder.flush()])


def correlation(original: Pcm, later: Pcm, rate_hz: int) -> float:
    """At 48 kHz: a delay is no whole number of samples of a low rate."""
    one, other = (resampled(pcm, rate_hz, 48_000) for pcm in (original, later))
    return likeness(one, other, 48_000, max_delay_ms=120).correlation


SPEECH_24K = mp3(speech(24_000), 24_000, tag=tag(2000))
WHOLE = heard(SPEECH_24K, 24_000, step=len(SPEECH_24K))


def test_a_file_is_heard() -> None:
    found = likeness(speech(24_000), WHOLE, 24_000, max_delay_ms=100)
    assert found.correlation >= 0.99
    assert found.delay_ms <= DELAY_MS * 44_100 / 24_000 + ENCODER_MS


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000])
def test_it_comes_at_the_rate_of_the_format(rate_hz: int) -> None:
    decoder: Decoder = Mp3Decoder(rate_hz)
    assert decoder.rate_hz == rate_hz
    expected = resampled(speech(24_000), 24_000, rate_hz)
    assert correlation(expected, heard(SPEECH_24K, rate_hz, step=900), rate_hz) >= 0.98


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100, 48_000])
def test_files_of_other_rates_and_two_channels_are_mixed(rate_hz: int) -> None:
    pcm = speech(rate_hz)
    content = mp3(np.repeat(pcm, 2), rate_hz, layout="stereo")
    assert correlation(speech(8000), heard(content, 8000, step=400), 8000) >= 0.98


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3000))
def test_how_frames_are_torn_does_not_matter(step: int) -> None:
    assert heard(SPEECH_24K, 24_000, step=step).tolist() == WHOLE.tolist()


@pytest.mark.parametrize("flags", [0, 0x10])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_tags_are_no_audio(flags: int, step: int) -> None:
    bare = SPEECH_24K[len(tag(2000)) :]
    tagged = tag(20_000, flags=flags) + bare
    assert heard(tagged, 24_000, step=step).tolist() == WHOLE.tolist()


def test_audio_comes_before_the_file_ends() -> None:
    decoder = Mp3Decoder(24_000)
    assert len(decoder.decode(SPEECH_24K[: len(SPEECH_24K) // 2])) > len(WHOLE) * 0.4


def test_one_file_may_follow_another() -> None:
    decoder = Mp3Decoder(8000)
    other = mp3(np.repeat(speech(16_000), 2), 16_000, layout="stereo")
    lengths = [len(decoder.decode(file)) for file in (SPEECH_24K, other, SPEECH_24K)]
    assert min(lengths) > 0.95 * len(speech(8000))


def test_after_the_end_it_is_as_new() -> None:
    decoder = Mp3Decoder(24_000)
    for _ in range(2):
        both = np.concatenate([decoder.decode(SPEECH_24K), decoder.flush()])
        assert both.tolist() == WHOLE.tolist()
    assert len(decoder.flush()) == 0


def test_a_damaged_frame_costs_only_itself() -> None:
    middle = len(SPEECH_24K) // 2
    damaged = SPEECH_24K[:middle] + bytes(300) + SPEECH_24K[middle + 300 :]
    assert len(heard(damaged, 24_000, step=500)) > 0.9 * len(WHOLE)


def consume(decoder: Mp3Decoder, content: bytes) -> None:
    for at in range(0, len(content), 1000):
        decoder.decode(content[at : at + 1000])


@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"I"])
def test_what_never_becomes_mp3_is_an_error_and_not_kept(byte: bytes) -> None:
    decoder = Mp3Decoder(24_000)
    for _ in range(2):
        with pytest.raises(CodecError, match="mp3: "):
            consume(decoder, byte * 20_000)
    assert len(decoder.decode(SPEECH_24K)) > 0.9 * len(WHOLE)


@given(st.lists(st.binary(max_size=500), max_size=8))
def test_any_bytes_are_audio_or_an_error_of_ours(payloads: list[bytes]) -> None:
    decoder = Mp3Decoder(16_000)
    for take in [*(lambda p=p: decoder.decode(p) for p in payloads), decoder.flush]:
        try:
            assert take().dtype == np.int16
        except CodecError:
            continue


def test_nothing_is_nothing() -> None:
    assert len(Mp3Decoder(16_000).decode(b"")) == 0
