from __future__ import annotations

import shutil
import struct
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from common.errors import UsageError
from ops.phone import wav
from workers.audio.g711 import encode_mulaw

PCMU = AudioFormat.pcmu()
SPEECH = Path(__file__).parents[2] / "fixtures" / "speech.wav"
EVERY_CODE = bytes(range(256))


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if size is None else size) + content


def layout(tag: int = 1, channels: int = 1, rate_hz: int = 8000, bits: int = 16) -> bytes:
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate_hz, 0, block, bits))


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


DATA = chunk(b"data", b"\x01\x02\x03\x04")
EXTENSIBLE = chunk(
    b"fmt ",
    struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4)
    + struct.pack("<H", 1)
    + bytes.fromhex("000000001000800000aa00389b71"),
)


def read(path: Path, content: bytes, target: AudioFormat = PCMU) -> bytes:
    path.write_bytes(content)
    return wav.read(path, target)


def test_mulaw_file_passes_through_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "every.wav"
    wav.write(file, EVERY_CODE, PCMU)
    assert wav.read(file, PCMU) == EVERY_CODE


def test_pcm_is_encoded_for_the_provider() -> None:
    with wave.open(str(SPEECH)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert wav.read(SPEECH, PCMU) == encode_mulaw(samples)
    assert wav.read(SPEECH, AudioFormat.pcm(8000)) == samples.tobytes()


@pytest.mark.parametrize("encoding", [Encoding.PCMU, Encoding.PCMA, Encoding.L16, Encoding.L16BE])
def test_what_is_written_can_be_read(tmp_path: Path, encoding: Encoding) -> None:
    audio_format = AudioFormat(encoding, 8000)
    wav.write(tmp_path / "a.wav", EVERY_CODE, audio_format)
    assert wav.read(tmp_path / "a.wav", audio_format) == EVERY_CODE


def test_written_header_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "odd.wav"
    wav.write(file, b"\xff" * 3, PCMU)
    content = file.read_bytes()
    assert len(content) % 2 == 0
    assert struct.unpack_from("<I", content, 4) == (len(content) - 8,)
    assert content[12:20] == b"fmt " + struct.pack("<I", 18)
    assert struct.unpack_from("<HHIIHHH", content, 20) == (7, 1, 8000, 8000, 1, 8, 0)
    assert content[38:50] == b"fact" + struct.pack("<II", 4, 3)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_ffmpeg_reads_what_is_written(tmp_path: Path) -> None:
    file = tmp_path / "every.wav"
    wav.write(file, EVERY_CODE, PCMU)
    command = ["ffmpeg", "-v", "error", "-i", str(file), "-c", "copy", "-f", "mulaw", "-"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=30)
    assert done.stdout == EVERY_CODE
    assert done.stderr == b""


def test_unknown_chunks_and_padding_are_skipped(tmp_path: Path) -> None:
    odd = chunk(b"LIST", b"abc") + b"\0"
    assert read(tmp_path / "a.wav", riff(odd, layout(), odd, DATA), AudioFormat.pcm(8000))


def test_extensible_format_is_read(tmp_path: Path) -> None:
    audio = read(tmp_path / "a.wav", riff(EXTENSIBLE, DATA), AudioFormat.pcm(8000))
    assert audio == b"\x01\x02\x03\x04"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"ID3\x03" + bytes(100), "not a WAV file"),
        (b"RIFF", "not a WAV file"),
        (riff(layout(channels=2), DATA), "stereo, not mono"),
        (riff(layout(channels=6), DATA), "6 channels, not mono"),
        (riff(layout(rate_hz=96_000), DATA), "96 kHz, none of 8 11.025 12 16 22.05 24 32"),
        (riff(layout(bits=24), DATA), "24-bit PCM, not 16-bit PCM"),
        (riff(layout(tag=3, bits=32), DATA), "32-bit floating point, not 16-bit PCM"),
        (riff(layout(tag=0x1234), DATA), "format 0x1234"),
        (riff(layout()), "holds no audio (no data chunk)"),
        (riff(layout(), chunk(b"data", b"")), "holds no audio (its data chunk is empty)"),
        (riff(DATA, layout()), "its audio comes before its format"),
        (riff(chunk(b"fmt ", b"\x01\x00")), "truncated in its format chunk"),
        (riff(layout(), chunk(b"data", b"1234", 99)), "truncated: 4 of 99 audio bytes are there"),
        (riff(layout(), chunk(b"data", b"123")), "half a sample"),
    ],
)
def test_fault_is_one_line_with_the_command_that_mends_it(
    tmp_path: Path, content: bytes, fault: str
) -> None:
    file = tmp_path / "my call.wav"
    with pytest.raises(UsageError) as raised:
        read(file, content)
    line = str(raised.value)
    assert fault in line
    assert "\n" not in line
    assert f"ffmpeg -i '{file}' -ar 8000 -ac 1 -c:a pcm_s16le '{tmp_path}/my call-8k.wav'" in line


def test_missing_file_and_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.wav: no such file or directory$"):
        wav.read(tmp_path / "nothing.wav", PCMU)
    with pytest.raises(UsageError, match=r"is a directory$"):
        wav.read(tmp_path, PCMU)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
def test_speech_is_converted_to_the_rate_of_the_provider(rate_hz: int) -> None:
    slow = np.frombuffer(wav.read(SPEECH, AudioFormat.pcm(8000)), "<i2")
    fast = np.frombuffer(wav.read(SPEECH, AudioFormat.pcm(rate_hz)), "<i2")
    assert len(fast) == len(slow) * rate_hz // 8000
    loudness = [float(np.std(pcm)) for pcm in (slow, fast)]
    assert loudness[1] == pytest.approx(loudness[0], rel=0.01)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("target", [PCMU, AudioFormat.pcm(24_000)], ids=str)
def test_files_at_other_rates_can_be_played(
    tmp_path: Path, rate_hz: int, target: AudioFormat
) -> None:
    file = tmp_path / "a.wav"
    wav.write(file, b"\0\x10" * (rate_hz // 2), AudioFormat.pcm(rate_hz))
    audio = wav.read(file, target)
    assert target.samples_in(len(audio)) == target.rate_hz // 2


def test_file_in_the_format_of_the_call_passes_through_at_any_rate(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", EVERY_CODE, AudioFormat.pcm(24_000))
    assert wav.read(tmp_path / "a.wav", AudioFormat.pcm(24_000)) == EVERY_CODE


def test_network_byte_order_is_swapped_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    network = AudioFormat(Encoding.L16BE, 16_000)
    wav.write(file, b"\x01\x02\x03\x04", network)
    assert file.read_bytes().endswith(b"\x02\x01\x04\x03")
    assert wav.read(file, network) == b"\x01\x02\x03\x04"
    assert wav.read(file, AudioFormat.pcm(16_000)) == b"\x02\x01\x04\x03"


HEADERS = st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", riff(layout()), riff(layout(tag=7, bits=8))])


@given(HEADERS, st.lists(st.sampled_from([layout(), DATA, EXTENSIBLE]) | st.binary(max_size=60)))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_audio_or_one_fault(
    tmp_path: Path, header: bytes, parts: list[bytes]
) -> None:
    content = header + b"".join(parts)
    outcome: bytes | str = b""
    try:
        outcome = read(tmp_path / "any.wav", content)
    except UsageError as error:
        outcome = str(error)
    assert outcome
    assert isinstance(outcome, bytes) or "\n" not in outcome
