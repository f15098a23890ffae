from __future__ import annotations

import numpy as np

from workers.audio.codec import Decoder, Encoded, Encoder, Pcm, SampleDecoder, SampleEncoder

NOTHING = np.zeros(0, np.int16)


def doubled(payload: bytes) -> Pcm:
    return np.frombuffer(payload, np.int8).astype(np.int16) * 2


def halved(pcm: Pcm) -> bytes:
    return (pcm // 2).astype(np.int8).tobytes()


def test_a_codec_without_memory_decodes_each_payload_by_itself() -> None:
    decoder: Decoder = SampleDecoder(8000, doubled)
    assert decoder.rate_hz == 8000
    assert [decoder.decode(bytes([1, 2])).tolist(), decoder.decode(b"").tolist()] == [[2, 4], []]


def test_a_codec_without_memory_keeps_nothing_back() -> None:
    encoder: Encoder = SampleEncoder(24_000, halved)
    assert encoder.rate_hz == 24_000
    assert encoder.encode(np.array([2, 4, 6], np.int16)) == [Encoded(bytes([1, 2, 3]), 3)]
    assert encoder.flush() == []


def test_nothing_is_no_payload() -> None:
    assert SampleEncoder(8000, halved).encode(NOTHING) == []
