from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.audio import AudioFormat, Encoding
from common.packets import samples_in
from ops.phone import speech, wav
from tests.ops.phone.codecs_for_tests import need_encoder
from workers.audio.g711 import decode_mulaw

PCMU = AudioFormat.pcmu()
FORMATS = [PCMU, AudioFormat(Encoding.PCMA, 8000), AudioFormat.pcm(24000)]


@pytest.mark.parametrize("audio_format", FORMATS, ids=str)
def test_no_two_chunks_of_the_tune_are_alike(audio_format: AudioFormat) -> None:
    chunks = speech.tune(audio_format, chunk_ms=20, seconds=60)
    assert len(chunks) == len(set(chunks)) == 3000
    assert {len(chunk) for chunk in chunks} == {audio_format.bytes_for(audio_format.rate_hz // 50)}


def test_tune_is_the_same_every_time_and_five_seconds_long_unless_told() -> None:
    chunks = speech.tune(PCMU, chunk_ms=20, seconds=None)
    assert len(chunks) == 250
    assert chunks == speech.tune(PCMU, chunk_ms=20, seconds=30)[:250]


def test_tune_is_pleasantly_loud() -> None:
    samples = decode_mulaw(b"".join(speech.tune(PCMU, chunk_ms=20, seconds=5)))
    peak = np.abs(samples.astype(np.int32)).max()
    assert 7000 < peak < 9000


@pytest.mark.parametrize("audio_format", FORMATS, ids=str)
def test_who_listens_sends_silence_behind_what_was_said(audio_format: AudioFormat) -> None:
    said = speech.tune(audio_format, chunk_ms=20, seconds=0.1)
    chunks = speech.tune(audio_format, chunk_ms=20, seconds=0.1, listen_s=0.06)
    assert chunks == [*said, *[audio_format.silence(len(said[0]))] * 3]


@pytest.mark.parametrize(("seconds", "count"), [(0.001, 1), (0.02, 1), (0.1, 5), (0.101, 6)])
def test_length_is_rounded_up_to_whole_chunks(seconds: float, count: int) -> None:
    assert len(speech.tune(PCMU, chunk_ms=20, seconds=seconds)) == count


@pytest.fixture
def short_file(tmp_path: Path) -> Path:
    """Two chunks and a half."""
    path = tmp_path / "short.wav"
    wav.write(path, b"a" * 160 + b"b" * 160 + b"c" * 80, PCMU)
    return path


def test_file_is_cut_into_chunks_and_filled_up_with_silence(short_file: Path) -> None:
    chunks = speech.from_wav(short_file, PCMU, chunk_ms=20, seconds=None)
    assert chunks == [b"a" * 160, b"b" * 160, b"c" * 80 + b"\xff" * 80]


def test_longer_than_the_file_plays_it_again(short_file: Path) -> None:
    chunks = speech.from_wav(short_file, PCMU, chunk_ms=20, seconds=0.1)
    assert [chunk[:1] for chunk in chunks] == [b"a", b"b", b"c", b"a", b"b"]


def test_shorter_than_the_file_cuts_it(short_file: Path) -> None:
    assert speech.from_wav(short_file, PCMU, chunk_ms=20, seconds=0.02) == [b"a" * 160]


OTHERS = [
    AudioFormat(Encoding.G722, 16_000),
    AudioFormat(Encoding.OPUS, 8000),
    AudioFormat(Encoding.OPUS, 16_000),
    AudioFormat(Encoding.AMR_WB, 16_000),
]


@pytest.mark.parametrize("audio_format", OTHERS, ids=str)
def test_codec_with_memory_has_a_payload_for_each_chunk(
    short_file: Path, audio_format: AudioFormat
) -> None:
    need_encoder(audio_format)
    chunks = speech.tune(audio_format, chunk_ms=20, seconds=2)
    assert len(chunks) == 100
    assert len(set(chunks)) == 100
    file = speech.from_wav(short_file, audio_format, chunk_ms=20, seconds=None)
    assert [samples_in(chunk, audio_format) for chunk in file] == [audio_format.rate_hz // 50] * 3


@pytest.mark.parametrize("audio_format", [*FORMATS, *OTHERS], ids=str)
def test_keys_last_as_long_as_they_have_to(audio_format: AudioFormat) -> None:
    need_encoder(audio_format)
    assert len(speech.tune(audio_format, chunk_ms=20, seconds=0.1, keys="12")) == 40
    assert len(speech.tune(audio_format, chunk_ms=20, seconds=2, keys="12")) == 100


def test_speech_is_the_same_but_where_keys_sound() -> None:
    plain = speech.tune(PCMU, chunk_ms=20, seconds=1)
    keyed = speech.tune(PCMU, chunk_ms=20, seconds=1, keys="1")
    assert [number for number in range(50) if plain[number] != keyed[number]] == [*range(25, 30)]
