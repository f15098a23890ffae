from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import CodecError
from workers.audio.codec import Pcm
from workers.audio.l16 import decode_big, decode_little, encode_big, encode_little

Encode = Callable[[Pcm], bytes]
Decode = Callable[[bytes], Pcm]
ORDERS = pytest.mark.parametrize(
    ("encode", "decode"), [(encode_little, decode_little), (encode_big, decode_big)]
)


def test_byte_orders() -> None:
    pcm = np.array([1, -2], np.int16)
    assert encode_little(pcm) == b"\x01\x00\xfe\xff"
    assert encode_big(pcm) == b"\x00\x01\xff\xfe"
    assert decode_little(b"\x01\x00\xfe\xff").tolist() == [1, -2]
    assert decode_big(b"\x00\x01\xff\xfe").tolist() == [1, -2]


@ORDERS
@given(samples=st.lists(st.integers(-32_768, 32_767)))
def test_every_sample_survives(encode: Encode, decode: Decode, samples: list[int]) -> None:
    decoded = decode(encode(np.array(samples, np.int16)))
    assert decoded.dtype == np.int16
    assert decoded.dtype.isnative
    assert decoded.tolist() == samples


@ORDERS
def test_every_other_sample_of_an_array_encodes_too(encode: Encode, decode: Decode) -> None:
    pcm = np.arange(10, dtype=np.int16)[::2]
    assert decode(encode(pcm)).tolist() == [0, 2, 4, 6, 8]


@ORDERS
def test_half_a_sample_is_no_audio(encode: Encode, decode: Decode) -> None:
    with pytest.raises(CodecError, match="half a sample"):
        decode(b"\x00\x01\x02")


def test_little_endian_costs_no_copy() -> None:
    assert decode_little(b"\x01\x00").base is not None
