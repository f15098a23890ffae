from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from common.packets import samples_in

OPUS = AudioFormat(Encoding.OPUS, 48_000)
AMR_WB = AudioFormat(Encoding.AMR_WB, 16_000)


@pytest.mark.parametrize(
    ("audio_format", "samples"),
    [
        (AudioFormat.pcmu(), 320),
        (AudioFormat.pcm(8000), 160),
        (AudioFormat(Encoding.G722, 16_000), 640),
        (AudioFormat(Encoding.MP3, 16_000), 0),
    ],
    ids=str,
)
def test_size_tells_where_it_can(audio_format: AudioFormat, samples: int) -> None:
    assert samples_in(bytes(320), audio_format) == samples


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
@pytest.mark.parametrize(
    ("packet", "ms"),
    [
        (b"\x08", 20),  # SILK
        (b"\x18", 60),
        (b"\x68", 20),  # hybrid
        (b"\x80", 2.5),  # CELT
        (b"\xfc", 20),
        (b"\xf9", 40),  # two frames of equal size
        (b"\xfa", 40),  # two of their own
        (b"\xfb\x86", 120),  # any number, here six, each of its own size
        (b"\x1b\x02", 120),
    ],
)
def test_opus_packet_tells_its_length(packet: bytes, ms: float, rate_hz: int) -> None:
    opus = AudioFormat(Encoding.OPUS, rate_hz)
    assert samples_in(packet + b"\x01", opus) == ms * rate_hz / 1000


@pytest.mark.parametrize("packet", [b"", b"\xfb", b"\xfb\x00", b"\xfb\x07", b"\x1b\x03"])
def test_what_is_no_opus_lasts_no_time(packet: bytes) -> None:
    assert samples_in(packet, OPUS) == 0


def test_an_encoder_s_packets_last_as_long_as_what_it_was_given() -> None:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16_000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), "s16", "mono")
    frame.sample_rate = 16_000
    packets = [bytes(packet) for packet in encoder.encode(frame)]
    opus = AudioFormat(Encoding.OPUS, 16_000)
    assert packets
    assert {samples_in(packet, opus) for packet in packets} == {320}


def octet_aligned(*frames: tuple[int, int]) -> bytes:
    """Frames as (type, bytes), behind a request of no mode."""
    more = [0x80] * (len(frames) - 1) + [0]
    entries = bytes(last | kind << 3 | 4 for (kind, _), last in zip(frames, more, strict=True))
    return b"\xf0" + entries + b"".join(b"\xa5" * size for _, size in frames)


def packed(*frames: tuple[int, int]) -> bytes:
    """The same with frames as (type, bits), packed without a gap."""
    text = "1111"
    for number, (kind, _) in enumerate(frames, start=1):
        text += f"{int(number < len(frames))}{kind:04b}1"
    text += "".join("10" * (size // 2) + "1" * (size % 2) for _, size in frames)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)


MODES = list(enumerate((132, 177, 253, 285, 317, 365, 397, 461, 477, 40)))


@pytest.mark.parametrize(("kind", "bits"), [*MODES, (14, 0), (15, 0)])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_amr_wb_frames_are_counted_however_they_are_packed(
    kind: int, bits: int, frames: int
) -> None:
    assert samples_in(octet_aligned(*[(kind, -(-bits // 8))] * frames), AMR_WB) == 320 * frames
    assert samples_in(packed(*[(kind, bits)] * frames), AMR_WB) == 320 * frames


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xf0",
        octet_aligned((2, 32))[:-1],
        octet_aligned((2, 32)) + b"\0",
        octet_aligned((10, 4)),  # a type that does not exist
        packed((2, 253))[:-1],
        packed((11, 253)),
    ],
)
def test_what_is_no_amr_wb_lasts_no_time(payload: bytes) -> None:
    assert samples_in(payload, AMR_WB) == 0


@pytest.mark.parametrize("encoding", Encoding)
@given(payload=st.binary(max_size=200))
def test_any_bytes_have_an_answer(payload: bytes, encoding: Encoding) -> None:
    assert samples_in(payload, AudioFormat(encoding, 16_000)) >= 0
