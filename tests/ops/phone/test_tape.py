from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from ops.phone.tape import Tape

OPUS = AudioFormat(Encoding.OPUS, 16_000)


def of_packets(*sizes: int, samples: int = 320) -> Tape:
    tape = Tape(OPUS)
    for number, size in enumerate(sizes):
        tape.append(bytes([number]) * size, samples)
    return tape


def test_bytes_can_be_cut_anywhere() -> None:
    tape = Tape(AudioFormat.pcm(8000))
    tape.append(b"abcd", 2)
    tape.append(b"ef", 1)
    assert (tape.samples, len(tape), tape.size(2)) == (3, 6, 4)
    assert tape.payloads(2) == [b"abcd"]
    tape.cut(1)
    assert (tape.samples, tape.payloads(9)) == (1, [b"ab"])


@pytest.mark.parametrize(
    ("samples", "payloads"),
    [
        (-1, []),
        (0, []),
        (1, [b"\x00" * 7]),
        (320, [b"\x00" * 7]),
        (321, [b"\x00" * 7, b"\x01"]),
        (640, [b"\x00" * 7, b"\x01"]),
        (9999, [b"\x00" * 7, b"\x01", b"\x02" * 30]),
    ],
)
def test_packet_that_has_begun_counts_whole(samples: int, payloads: list[bytes]) -> None:
    tape = of_packets(7, 1, 30)
    assert tape.payloads(samples) == payloads
    assert tape.size(samples) == sum(map(len, payloads))
    tape.cut(samples)
    assert tape.payloads(9999) == payloads
    assert len(tape) == sum(map(len, payloads))
    assert tape.samples == max(0, min(samples, 960))


def test_what_follows_a_cut_begins_there() -> None:
    tape = of_packets(7, 1, 30)
    tape.cut(330)
    tape.append(b"next", 320)
    assert tape.samples == 650
    assert tape.payloads(330) == [b"\x00" * 7, b"\x01"]
    assert tape.payloads(331) == [b"\x00" * 7, b"\x01", b"next"]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(-10, 4000))
def test_payloads_and_size_agree(sizes: list[int], samples: int) -> None:
    tape = of_packets(*sizes)
    assert len(b"".join(tape.payloads(samples))) == tape.size(samples)
