from __future__ import annotations

import numpy as np
import pytest

from tests.workers.audio.likeness import decoded, encoded, likeness, sine, speech
from workers.audio.codec import Decoder, Encoder, Pcm
from workers.audio.g722 import DELAY_MS, G722Decoder, G722Encoder


@pytest.mark.parametrize("pcm", [speech(16_000), sine(16_000)], ids=["speech", "sine"])
def test_round_trip(pcm: Pcm) -> None:
    heard = decoded(G722Decoder(), encoded(G722Encoder(), pcm))
    found = likeness(pcm, heard, 16_000)
    assert found.correlation >= 0.99
    assert found.delay_ms == pytest.approx(DELAY_MS, abs=0.1)


def test_payloads_are_whole_frames_of_20_ms() -> None:
    encoder: Encoder = G722Encoder()
    decoder: Decoder = G722Decoder()
    assert (encoder.rate_hz, decoder.rate_hz) == (16_000, 16_000)
    assert encoder.encode(np.zeros(319, np.int16)) == []
    (first,) = encoder.encode(np.zeros(700, np.int16))
    assert (len(first.payload), first.samples) == (480, 960)
    (last,) = encoder.flush()
    assert (len(last.payload), last.samples) == (160, 320)
    assert encoder.flush() == []


def test_how_the_audio_is_cut_does_not_matter() -> None:
    pcm = speech(16_000)
    whole = G722Encoder()
    at_once = b"".join(each.payload for each in whole.encode(pcm) + whole.flush())
    assert b"".join(each.payload for each in encoded(G722Encoder(), pcm)) == at_once
    decoder = G722Decoder()
    odd = [decoder.decode(at_once[at : at + 77]) for at in range(0, len(at_once), 77)]
    assert np.concatenate(odd).tolist() == G722Decoder().decode(at_once).tolist()


def test_every_byte_is_two_samples_and_none_are_none() -> None:
    decoder = G722Decoder()
    assert len(decoder.decode(np.random.default_rng(7).bytes(501))) == 1002
    assert len(decoder.decode(b"")) == 0
    assert len(decoder.decode(b"\x00")) == 2
