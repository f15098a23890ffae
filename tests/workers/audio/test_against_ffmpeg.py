"""What we encode, heard by somebody else's decoder; and what we decode, beside theirs."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from common.audio import AudioFormat, Encoding
from tests.workers.audio.likeness import decoded, encoded, likeness, resampled, speech
from tests.workers.audio.test_amr_wb import needs_encoder
from tests.workers.audio.test_mp3 import SPEECH_24K, WHOLE
from workers.audio.amr_wb_payload import Packing, unpack
from workers.audio.codec import Encoded, Pcm
from workers.audio.codecs import open_decoder, open_encoder

#: File, its name to ffmpeg, rate -> samples.
Reference = Callable[[bytes, str, int], Pcm]

EVERY_BYTE = bytes(range(256)) * 4

#: What tells its rate itself.
WITH_RATE = ("ogg", "amr", "mp3", "g722")


def by_ffmpeg(content: bytes, name: str, rate_hz: int) -> Pcm:
    source = [] if name in WITH_RATE else ["-ar", str(rate_hz)]
    command = ["ffmpeg", "-v", "error", "-f", name, *source, "-i", "pipe:0"]
    command += ["-f", "s16le", "-ac", "1", "-ar", str(rate_hz), "pipe:1"]
    ran = subprocess.run(command, input=content, capture_output=True, check=True, timeout=60)
    return np.frombuffer(ran.stdout, "<i2").astype(np.int16)


def by_pyav(content: bytes, name: str, rate_hz: int) -> Pcm:
    options = {} if name in WITH_RATE else {"sample_rate": str(rate_hz)}
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
    with av.open(io.BytesIO(content), "r", format=name, options=options) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.int16)


@pytest.fixture(params=[by_ffmpeg, by_pyav], ids=["ffmpeg", "pyav"])
def reference(request: pytest.FixtureRequest) -> Reference:
    if request.param is by_ffmpeg and shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg program is not installed")
    found: Reference = request.param
    return found


def said(audio_format: AudioFormat) -> list[Encoded]:
    encoder = open_encoder(audio_format)
    return encoded(encoder, speech(encoder.rate_hz))


def joined(payloads: list[Encoded]) -> bytes:
    return b"".join(each.payload for each in payloads)


def ogg(payloads: list[Encoded], rate_hz: int) -> bytes:
    """Opus packets in the file that ffmpeg reads them from."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream: Any = container.add_stream("libopus", rate=48_000)
        stream.layout = "mono"
        stream.codec_context.open()
        for number, each in enumerate(payloads):
            packet: Any = av.Packet(each.payload)
            packet.stream, packet.time_base = stream, Fraction(1, 48_000)
            packet.pts = packet.dts = number * 960
            packet.duration = 960
            container.mux(packet)
    return file.getvalue()


def awb(payloads: list[Encoded]) -> bytes:
    """AMR-WB frames in the file format of RFC 4867, 5."""
    frames = [unpack(each.payload, Packing.BANDWIDTH_EFFICIENT).frames for each in payloads]
    heads_and_bits = [bytes([f.type << 3 | f.is_good << 2]) + f.bits for (f,) in frames]
    return b"#!AMR-WB\n" + b"".join(heads_and_bits)


@pytest.mark.parametrize(("encoding", "name"), [(Encoding.PCMU, "mulaw"), (Encoding.PCMA, "alaw")])
def test_g711_is_decoded_alike_exactly(reference: Reference, encoding: Encoding, name: str) -> None:
    decoder = open_decoder(AudioFormat(encoding, 8000))
    assert decoder.decode(EVERY_BYTE).tolist() == reference(EVERY_BYTE, name, 8000).tolist()


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000])
@pytest.mark.parametrize(("encoding", "name"), [(Encoding.L16, "s16le"), (Encoding.L16BE, "s16be")])
def test_l16_is_decoded_alike_exactly(
    reference: Reference, encoding: Encoding, name: str, rate_hz: int
) -> None:
    decoder = open_decoder(AudioFormat(encoding, rate_hz))
    assert decoder.decode(EVERY_BYTE).tolist() == reference(EVERY_BYTE, name, rate_hz).tolist()


def test_g722(reference: Reference) -> None:
    audio_format = AudioFormat(Encoding.G722, 16_000)
    payloads = said(audio_format)
    theirs = reference(joined(payloads), "g722", 16_000)
    assert likeness(speech(16_000), theirs, 16_000).correlation >= 0.99
    ours = decoded(open_decoder(audio_format), payloads)
    assert ours[: len(theirs)].tolist() == theirs[: len(ours)].tolist()


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 48_000])
def test_opus(reference: Reference, rate_hz: int) -> None:
    audio_format = AudioFormat(Encoding.OPUS, rate_hz)
    payloads = said(audio_format)
    theirs = reference(ogg(payloads, rate_hz), "ogg", 48_000)
    original = resampled(speech(rate_hz), rate_hz, 48_000)
    # The file tells its players to drop the 6.5 ms that the encoder came late.
    assert likeness(original, theirs, 48_000).correlation >= 0.95
    ours = decoded(open_decoder(audio_format), payloads)
    # What Opus codes at 8 kHz inside, each decoder brings up to 48 kHz in a way of its own.
    assert likeness(theirs, ours, 48_000).correlation >= (0.98 if rate_hz == 8000 else 0.99)


@needs_encoder
def test_amr_wb(reference: Reference) -> None:
    audio_format = AudioFormat(Encoding.AMR_WB, 16_000)
    payloads = said(audio_format)
    theirs = reference(awb(payloads), "amr", 16_000)
    assert likeness(speech(16_000), theirs, 16_000).correlation >= 0.95
    ours = decoded(open_decoder(audio_format), payloads)
    assert likeness(ours, theirs, 16_000).correlation >= 0.99


def test_mp3(reference: Reference) -> None:
    theirs = reference(SPEECH_24K, "mp3", 24_000)
    assert likeness(speech(24_000), theirs, 24_000).correlation >= 0.99
    assert likeness(theirs, WHOLE, 24_000, max_delay_ms=100).correlation >= 0.99
