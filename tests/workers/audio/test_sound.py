from __future__ import annotations

import wave
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from common.events import AudioReceived
from workers.audio import codecs
from workers.audio.sound import HeardAudio, Sound, as_pcm, wav
from workers.voice.late_decoder import LateDecoder

PCMU = AudioFormat.pcmu()
REFUSED = "trunkline_worker_payloads_refused_total"
RAMP = np.arange(-8000, 8000, 100, dtype=np.int16)


def write_wav(path: Path, data: bytes, *, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(data)
    return path


def heard(payload: bytes, audio_format: AudioFormat = PCMU) -> HeardAudio:
    return HeardAudio(AudioReceived(payload, 40, 3, 1), audio_format, LateDecoder(audio_format))


def test_heard_audio_knows_its_place_in_the_stream() -> None:
    audio = heard(b"\xff" * 160)
    assert (audio.offset_ms, audio.sequence, audio.lost_frames) == (40, 3, 1)
    assert (audio.payload, audio.format) == (b"\xff" * 160, PCMU)
    assert (audio.rate_hz, audio.duration_ms, audio.is_concealed) == (8000, 20.0, False)


def test_heard_audio_as_int16() -> None:
    pcm = heard(codecs.encode(RAMP, PCMU)).pcm
    assert pcm.dtype == np.int16
    assert pcm.tolist() == codecs.decode(codecs.encode(RAMP, PCMU), PCMU).tolist()


def test_heard_audio_as_float32() -> None:
    extremes = np.array([-32_768, -16_384, 0, 16_384, 32_767], np.int16)
    samples = heard(extremes.astype("<i2").tobytes(), AudioFormat.pcm(8000)).samples
    assert samples.dtype == np.float32
    assert samples.tolist() == [-1.0, -0.5, 0.0, 0.5, 32_767 / 32_768]


@pytest.mark.parametrize("audio_format", [PCMU, AudioFormat.pcm(8000)])
def test_heard_audio_cannot_be_changed(audio_format: AudioFormat) -> None:
    audio = heard(b"\x01\x02\x03\x04", audio_format)
    with pytest.raises(ValueError, match="read-only"):
        audio.pcm[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        audio.samples[0] = 1.0


def test_nothing_is_decoded_until_it_is_looked_at() -> None:
    before = REGISTRY.get_sample_value(REFUSED) or 0.0
    audio = heard(b"\xff no audio", AudioFormat(Encoding.OPUS, 48_000))
    assert audio.payload == b"\xff no audio"
    assert REGISTRY.get_sample_value(REFUSED) == before
    assert audio.pcm.size == 0  # and then it is no audio at all
    assert REGISTRY.get_sample_value(REFUSED) == before + 1


def test_how_long_a_sound_lasts() -> None:
    assert Sound(np.zeros(800, np.int16), 8000).duration_ms == 100.0


def test_a_sound_of_float32_is_one_of_int16() -> None:
    sound = Sound(np.array([0.5, -0.5], np.float32), 8000)
    assert sound.pcm.dtype == np.int16
    assert sound.pcm.tolist() == [16_384, -16_384]


@pytest.mark.parametrize("rate_hz", [0, 3999, 8000.5, "8000"])
def test_a_sound_without_a_rate_is_refused(rate_hz: Any) -> None:
    with pytest.raises(AgentError, match=f"cannot play at {rate_hz} Hz: it is a whole number"):
        Sound(RAMP, rate_hz)


def test_arrays_become_samples() -> None:
    assert as_pcm(RAMP) is RAMP
    floats = np.array([-2.0, -1.0, 0.25, 1.0, np.inf, -np.inf, np.nan], np.float32)
    expected = [-32_768, -32_768, 8192, 32_767, 32_767, -32_768, 0]
    assert as_pcm(floats).tolist() == expected


def test_what_was_heard_can_be_played_as_it_was() -> None:
    every = np.arange(-32_768, 32_768).astype(np.int16)
    audio = heard(every.astype("<i2").tobytes(), AudioFormat.pcm(8000))
    assert as_pcm(audio.samples).tolist() == every.tolist()


def test_what_does_not_lie_in_a_row_does_then() -> None:
    assert as_pcm(RAMP[::2]).flags.c_contiguous
    assert as_pcm(RAMP[::-1]).tolist() == RAMP[::-1].tolist()


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (np.zeros(2), "float64 samples; int16 or float32"),
        (np.zeros(2, ">i2"), ">i2 samples; int16 or float32"),
        (np.zeros((2, 2), np.int16), "2 dimensions"),
        (np.zeros((), np.int16), "0 dimensions"),
        ([1, 2], "a list; what can be is an array"),
        (bytearray(160), "a bytearray; what can be is an array"),
        (None, "a NoneType; what can be is an array"),
    ],
)
def test_what_is_no_audio_is_refused(samples: Any, text: str) -> None:
    with pytest.raises(AgentError, match=f"cannot play .*{text}"):
        as_pcm(samples)
    with pytest.raises(AgentError, match=f"cannot play .*{text}"):
        Sound(samples, 8000)


def test_a_wav_file_is_a_sound(tmp_path: Path) -> None:
    sound = wav(write_wav(tmp_path / "a.wav", RAMP.astype("<i2").tobytes()))
    assert sound.rate_hz == 8000
    assert sound.pcm.dtype == np.int16
    assert sound.pcm.tolist() == RAMP.tolist()


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    assert wav(str(write_wav(tmp_path / "a.wav", b"\x01\x00"))).pcm.tolist() == [1]


def test_a_wav_file_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    """What encoders write into a pipe: they cannot go back to fill in the length."""
    path = write_wav(tmp_path / "a.wav", RAMP.astype("<i2").tobytes())
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    assert wav(path).pcm.tolist() == RAMP.tolist()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"nowhere\.wav: .*No such file"):
        wav(tmp_path / "nowhere.wav")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=str(tmp_path)):
        wav(tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"hello, world", b"RIFF\x04\0\0\0WAVE"])
def test_a_file_that_is_no_wav(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(AgentError, match=r"a\.wav: \w+"):
        wav(path)


@pytest.mark.parametrize(
    ("channels", "width", "text"),
    [(2, 2, "16-bit, 2 channels"), (1, 1, "8-bit, 1 channels"), (1, 3, "24-bit, 1 channels")],
)
def test_another_kind_of_wav(tmp_path: Path, channels: int, width: int, text: str) -> None:
    path = write_wav(tmp_path / "a.wav", bytes(12), channels=channels, width=width)
    with pytest.raises(AgentError, match=rf"a\.wav: expected 16-bit mono, got {text}"):
        wav(path)


def test_a_wav_of_another_encoding(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", bytes(12))
    content = bytearray(path.read_bytes())
    content[20] = 7  # mu-law
    path.write_bytes(content)
    with pytest.raises(AgentError, match="unknown format: 7"):
        wav(path)


def test_a_wav_that_ends_within_a_sample(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", bytes(100))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AgentError, match="half a sample"):
        wav(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, 60), byte=st.integers(0, 255), cut=st.integers(0, 90))
def test_a_damaged_wav_is_read_or_refused(
    tmp_path: Path, position: int, byte: int, cut: int
) -> None:
    path = write_wav(tmp_path / "a.wav", RAMP[:20].astype("<i2").tobytes())
    content = bytearray(path.read_bytes())
    content[position] = byte
    path.write_bytes(content[: len(content) - cut])
    with suppress(AgentError):
        assert wav(path).pcm.dtype == np.int16
