from __future__ import annotations

import os
import subprocess
import sys

import av
import numpy as np
import pytest

from common.errors import AgentError, CodecError
from workers.audio.av_codec import BlockEncoder, PacketDecoder, create, samples_of

TONE = (8000 * np.sin(np.arange(320) / 5)).astype(np.int16)


def g722() -> BlockEncoder:
    return BlockEncoder("g722", 16_000, bit_rate=64_000, options={})


def test_the_first_codec_that_there_is_is_taken() -> None:
    assert PacketDecoder(("none_such", "g722", "mp3"), 16_000).name == "g722"


@pytest.mark.parametrize(("mode", "kind"), [("r", "decoder"), ("w", "encoder")])
def test_a_codec_that_pyav_was_built_without_is_named(mode: str, kind: str) -> None:
    with pytest.raises(AgentError, match=f"^PyAV .* was built without the {kind} x_y or y_z$"):
        create(("x_y", "y_z"), "r" if mode == "r" else "w")


def test_a_block_is_a_packet() -> None:
    encoder, decoder = g722(), PacketDecoder(("g722",), 16_000)
    assert encoder.block_samples == 320
    packets = [encoder.encode(TONE) for _ in range(3)]
    assert [len(packet) for packet in packets] == [160] * 3
    assert [len(decoder.decode(packet)) for packet in packets] == [320] * 3


def test_samples_outlive_the_decoder() -> None:
    encoder, decoder = g722(), PacketDecoder(("g722",), 16_000)
    packets = [encoder.encode(TONE) for _ in range(50)]
    every = [decoder.decode(packet) for packet in packets]
    copies = [pcm.copy() for pcm in every]
    del decoder
    assert all((pcm == copy).all() for pcm, copy in zip(every, copies, strict=True))


def test_an_empty_packet_does_not_end_the_stream() -> None:
    decoder = PacketDecoder(("g722",), 16_000)
    with pytest.raises(CodecError, match="g722: the packet is empty"):
        decoder.decode(b"")
    assert len(decoder.decode(bytes(160))) == 320


def test_a_damaged_packet_leaves_the_decoder_fit() -> None:
    decoder = PacketDecoder(("libopus",), 48_000)
    with pytest.raises(CodecError, match="libopus: Invalid data"):
        decoder.decode(b"\xff\xff\xff")
    assert len(decoder.decode(b"\x08\x0b\xe4\xc1\x36\xec\xc5\x80")) == 960


@pytest.mark.parametrize("name", ["flt", "fltp"])
def test_floating_point_is_rounded_and_clipped(name: str) -> None:
    values = np.array([[0.0, 0.5, -0.5, 1.0, -1.0, 7.0, -7.0]], np.float32)
    frame = av.AudioFrame.from_ndarray(values, format=name, layout="mono")
    expected = [0, 16_384, -16_384, 32_767, -32_768, 32_767, -32_768]
    assert samples_of(frame).tolist() == expected


def test_nothing_is_read_behind_the_end_of_a_payload() -> None:
    """In a process of its own, which would not survive it."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.workers.audio.end_of_memory"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ran.stdout.split() == ["G722", "OPUS", "libopencore_amrwb", "amrwb", "MP3"], ran.stderr
    assert ran.returncode == 0


def test_encoders_have_no_threads() -> None:
    before = len(os.listdir("/proc/self/task"))
    encoders = [g722() for _ in range(50)]
    assert all(encoder.encode(TONE) for encoder in encoders)
    assert len(os.listdir("/proc/self/task")) < before + len(encoders)
