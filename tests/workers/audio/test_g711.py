from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from workers.audio.codec import Pcm
from workers.audio.g711 import decode_alaw, decode_mulaw, encode_alaw, encode_mulaw

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)

Encode = Callable[[Pcm], bytes]
Decode = Callable[[bytes], Pcm]
LAWS = pytest.mark.parametrize(
    ("encode", "decode"), [(encode_mulaw, decode_mulaw), (encode_alaw, decode_alaw)]
)


def test_mulaw_code_words_survive_a_round_trip_but_for_negative_zero() -> None:
    again = encode_mulaw(decode_mulaw(EVERY_CODE))
    changed = {code: again[code] for code in EVERY_CODE if again[code] != code}
    assert changed == {0x7F: 0xFF}


def test_alaw_code_words_survive_a_round_trip() -> None:
    assert encode_alaw(decode_alaw(EVERY_CODE)) == EVERY_CODE


@pytest.mark.parametrize(
    ("code", "sample"),
    [(0xFF, 0), (0x7F, 0), (0xFE, 8), (0x7E, -8), (0x80, 32124), (0x00, -32124), (0xF0, 120)],
)
def test_mulaw_values_of_the_recommendation(code: int, sample: int) -> None:
    assert decode_mulaw(bytes([code])).tolist() == [sample]


@pytest.mark.parametrize(
    ("code", "sample"), [(0xD5, 8), (0x55, -8), (0xAA, 32256), (0x2A, -32256), (0xD4, 24)]
)
def test_alaw_values_of_the_recommendation(code: int, sample: int) -> None:
    assert decode_alaw(bytes([code])).tolist() == [sample]


def test_silence_has_the_code_words_that_providers_send() -> None:
    assert encode_mulaw(np.zeros(2, np.int16)) == b"\xff\xff"
    assert encode_alaw(np.zeros(2, np.int16)) == b"\xd5\xd5"


@LAWS
def test_louder_never_decodes_softer(encode: Encode, decode: Decode) -> None:
    decoded = decode(encode(EVERY_SAMPLE)).astype(np.int32)
    assert (np.diff(decoded) >= 0).all()


@LAWS
def test_error_is_at_most_half_a_step(encode: Encode, decode: Decode) -> None:
    error = np.abs(decode(encode(EVERY_SAMPLE)).astype(np.int32) - EVERY_SAMPLE)
    # The widest step is 1024; the loudest mu-law value lies 644 below full scale.
    assert error.max() <= 644
    assert error[np.abs(EVERY_SAMPLE.astype(np.int32)) < 32].max() <= 8


@LAWS
def test_views_and_empty_arrays_encode(encode: Encode, decode: Decode) -> None:
    assert encode(np.zeros(0, np.int16)) == b""
    assert decode(b"").tolist() == []
    assert encode(EVERY_SAMPLE[::1000]) == encode(EVERY_SAMPLE[::1000].copy())


@LAWS
def test_samples_of_another_type_are_refused(encode: Callable[..., bytes], decode: Decode) -> None:
    for other in (np.float32, np.uint16, np.dtype(">i2")):
        with pytest.raises(TypeError, match="int16"):
            encode(np.zeros(4, other))


def _audioop() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("audioop", reason="Python 3.13 removed audioop")


def test_every_result_equals_audioop() -> None:
    audioop = _audioop()
    linear = EVERY_SAMPLE.tobytes()
    assert encode_mulaw(EVERY_SAMPLE) == audioop.lin2ulaw(linear, 2)
    assert encode_alaw(EVERY_SAMPLE) == audioop.lin2alaw(linear, 2)
    assert decode_mulaw(EVERY_CODE).tobytes() == audioop.ulaw2lin(EVERY_CODE, 2)
    assert decode_alaw(EVERY_CODE).tobytes() == audioop.alaw2lin(EVERY_CODE, 2)
