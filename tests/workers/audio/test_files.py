from __future__ import annotations

import struct
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.errors import AgentError
from workers.audio import files, g711
from workers.audio.codec import Pcm
from workers.audio.files import load_sound
from workers.audio.sound import Sound

SPEECH = Path(__file__).parents[2] / "fixtures" / "speech.wav"
PEAK = 12_000
PCM, FLOAT, ALAW, MULAW = 1, 3, 6, 7  # format tags of WAV


def tone(rate_hz: int, *, seconds: float = 0.5) -> Pcm:
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    samples: Pcm = np.rint(PEAK * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    return samples


def wav_file(
    data: bytes, rate_hz: int, *, tag: int = PCM, bits: int = 16, channels: int = 1
) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block, block, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def written(directory: Path, content: bytes, *, name: str = "sound") -> Path:
    path = directory / name
    path.write_bytes(content)
    return path


def encoded(path: Path, codec: str, rate_hz: int, *, layout: str = "mono") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.options = {"strict": "experimental"}  # libav's own Vorbis encoder
        stream.layout = layout
        channels = 1 if layout == "mono" else 2
        frame = av.AudioFrame.from_ndarray(
            np.repeat(tone(rate_hz), channels)[np.newaxis], "s16", layout
        )
        frame.sample_rate = rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def as_24_bit(pcm: Pcm) -> bytes:
    wide: NDArray[np.int32] = pcm.astype("<i4") << 8
    return wide.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


WAVS: dict[str, tuple[int, int, Callable[[Pcm], bytes], int]] = {
    "8 bit": (PCM, 8, lambda pcm: ((pcm >> 8) + 128).astype(np.uint8).tobytes(), 256),
    "16 bit": (PCM, 16, lambda pcm: pcm.tobytes(), 0),
    "24 bit": (PCM, 24, as_24_bit, 0),
    "32 bit": (PCM, 32, lambda pcm: (pcm.astype("<i4") << 16).tobytes(), 0),
    "float": (FLOAT, 32, lambda pcm: (pcm / 32_768).astype("<f4").tobytes(), 0),
    "double": (FLOAT, 64, lambda pcm: (pcm / 32_768).astype("<f8").tobytes(), 0),
    "mu-law": (MULAW, 8, g711.encode_mulaw, 512),
    "A-law": (ALAW, 8, g711.encode_alaw, 512),
}


@pytest.mark.parametrize("kind", WAVS)
def test_wav_of_every_width_is_read(kind: str, tmp_path: Path) -> None:
    tag, bits, encode, most_error = WAVS[kind]
    path = written(tmp_path, wav_file(encode(tone(8000)), 8000, tag=tag, bits=bits))
    sound = load_sound(path)
    assert sound.rate_hz == 8000
    assert sound.pcm.dtype == np.int16
    assert len(sound.pcm) == 4000
    assert np.abs(sound.pcm.astype(int) - tone(8000)).max() <= most_error


def test_the_fixture_reads_as_the_module_wave_reads_it() -> None:
    with wave.open(str(SPEECH)) as file:
        expected = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert load_sound(SPEECH).pcm.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "layout"),
    [
        ("a.mp3", "libmp3lame", 44_100, "mono"),
        ("a.mp3", "libmp3lame", 44_100, "stereo"),
        ("a.flac", "flac", 22_050, "mono"),
        ("a.flac", "flac", 22_050, "stereo"),
        ("a.ogg", "vorbis", 16_000, "stereo"),  # the only layout that its encoder has
        ("a.opus", "libopus", 48_000, "mono"),
        ("a.opus", "libopus", 48_000, "stereo"),
    ],
)
def test_compressed_files_are_read(
    name: str, codec: str, rate_hz: int, layout: str, tmp_path: Path
) -> None:
    sound = load_sound(encoded(tmp_path / name, codec, rate_hz, layout=layout))
    assert sound.rate_hz == rate_hz
    assert sound.duration_ms == pytest.approx(500, abs=60)  # a codec may fill up its last frame
    middle = sound.pcm[rate_hz // 5 : rate_hz // 5 * 2].astype(np.float64)
    assert middle.std() == pytest.approx(PEAK / 2**0.5, rel=0.1)
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) * 5 == pytest.approx(440, abs=5)


def test_stereo_is_mixed_to_the_mean_of_both(tmp_path: Path) -> None:
    left, right = tone(8000), np.full(4000, 1000, np.int16)
    stereo = np.stack((left, right), axis=1).tobytes()
    sound = load_sound(written(tmp_path, wav_file(stereo, 8000, channels=2)))
    expected = (left.astype(int) + right) / 2
    assert np.abs(sound.pcm - expected).max() <= 1


def test_full_scale_on_both_channels_does_not_wrap(tmp_path: Path) -> None:
    stereo = np.full(200, -32_768, np.int16).tobytes()
    sound = load_sound(written(tmp_path, wav_file(stereo, 8000, channels=2)))
    assert set(sound.pcm.tolist()) == {-32_768}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged, or no WAV, FLAC, MP3 or Ogg file"),
        (b"hello\n" * 100, "damaged, or no WAV, FLAC, MP3 or Ogg file"),
        (bytes(5000), "damaged, or no WAV, FLAC, MP3 or Ogg file"),
        (wav_file(b"", 8000), "holds no sound"),
        (wav_file(bytes(2000), 8000, tag=0xBEEF), "holds no sound"),  # a codec that nobody knows
        (wav_file(bytes(2000), 2000), "2000 Hz is not within 4000 to 192000 Hz"),
        (b"FORM\0\0\0\x1eAIFFCOMM\0\0\0\x12" + bytes(18), "damaged, or no WAV, FLAC, MP3 or Ogg"),
        (b"#EXTM3U\n#EXTINF:10,\n/etc/hostname\n", "damaged, or no WAV"),
    ],
)
def test_what_is_no_sound_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, content, name="odd.wav")
    with pytest.raises(AgentError, match=f"odd.wav: {reason}"):
        load_sound(path)


def test_what_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MAX_S", 60)
    minute = bytes(60 * 2 * 8000)
    assert len(load_sound(written(tmp_path, wav_file(minute, 8000))).pcm) == 60 * 8000
    path = written(tmp_path, wav_file(minute + bytes(2), 8000), name="long.wav")
    with pytest.raises(AgentError, match=r"long\.wav: lasts longer than 1 min: play it in parts"):
        load_sound(path)


def test_a_codec_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.wav", "aac", 16_000)
    with pytest.raises(AgentError, match=r"a\.wav: aac is not played: make it PCM, FLAC or MP3"):
        load_sound(path)


@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav"])
def test_wav_as_telephone_systems_keep_it_is_read(codec: str, tmp_path: Path) -> None:
    sound = load_sound(encoded(tmp_path / "a.wav", codec, 8000))
    assert sound.duration_ms == pytest.approx(500, abs=60)
    assert sound.pcm.std() == pytest.approx(PEAK / 2**0.5, rel=0.1)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"missing\.wav: No such file or directory"):
        load_sound(tmp_path / "missing.wav")
    with pytest.raises(AgentError, match="Is a directory"):
        load_sound(tmp_path)
    with pytest.raises(AgentError, match="null byte"):
        load_sound("a\0b")


def test_half_a_flac_file_is_damaged(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.flac", "flac", 16_000)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(AgentError, match=r"a\.flac: damaged"):
        load_sound(path)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    directory = tmp_path_factory.mktemp("small")
    kinds = [
        ("a.mp3", "libmp3lame", 16_000, "mono"),
        ("a.flac", "flac", 8000, "mono"),
        ("a.ogg", "vorbis", 8000, "stereo"),
        ("a.opus", "libopus", 48_000, "mono"),
    ]
    files = [
        encoded(directory / name, codec, rate_hz, layout=layout).read_bytes()
        for name, codec, rate_hz, layout in kinds
    ]
    return [*files, wav_file(tone(8000, seconds=0.05).tobytes(), 8000)]


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_damage_is_an_agent_error_or_sound(
    data: st.DataObject, small_files: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(data.draw(st.sampled_from(small_files)))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = written(tmp_path_factory.getbasetemp(), bytes(content[:cut]), name="damaged")
    outcome = loaded(path)
    if isinstance(outcome, AgentError):
        assert "\n" not in str(outcome)
        assert str(outcome).startswith(f"{path}: ")
    else:
        assert outcome.pcm.dtype == np.int16
        assert len(outcome.pcm) > 0


def loaded(path: Path) -> Sound | AgentError:
    try:
        return load_sound(path)
    except AgentError as error:
        return error
