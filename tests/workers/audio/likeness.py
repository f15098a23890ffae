"""How alike two signals are, and how much later one of them is."""

from __future__ import annotations

import wave
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workers.audio.codec import Decoder, Encoded, Encoder, Pcm
from workers.audio.resampler import Resampler

SPEECH = Path("tests/fixtures/speech.wav")
SPEECH_HZ = 8000

#: Lengths of the pieces that an agent plays: no codec's packet is as long.
PIECE_SAMPLES = 333


class Likeness(NamedTuple):
    """`correlation` is 1 for the same signal at any loudness."""

    correlation: float
    delay_ms: float


@cache
def speech(rate_hz: int) -> Pcm:
    with wave.open(str(SPEECH)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    return resampled(pcm, SPEECH_HZ, rate_hz)


@cache
def sine(rate_hz: int) -> Pcm:
    """A second, rising from 300 to 1500 Hz: of a steady tone no delay can be told."""
    time = np.arange(rate_hz) / rate_hz
    pcm: Pcm = (10_000 * np.sin(2 * np.pi * (300 + 600 * time) * time)).astype(np.int16)
    return pcm


def resampled(pcm: Pcm, from_hz: int, to_hz: int) -> Pcm:
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate((resampler.process(pcm), resampler.flush()))


def encoded(encoder: Encoder, pcm: Pcm) -> list[Encoded]:
    payloads: list[Encoded] = []
    for start in range(0, len(pcm), PIECE_SAMPLES):
        payloads += encoder.encode(pcm[start : start + PIECE_SAMPLES])
    return payloads + encoder.flush()


def decoded(decoder: Decoder, payloads: list[Encoded]) -> Pcm:
    return np.concatenate([decoder.decode(each.payload) for each in payloads])


def likeness(original: Pcm, later: Pcm, rate_hz: int, *, max_delay_ms: float = 60) -> Likeness:
    """At the delay, up to `max_delay_ms`, at which they are most alike."""
    size = 2 * max(len(original), len(later))
    spectrum = np.conj(np.fft.rfft(original, size)) * np.fft.rfft(later, size)
    products = np.fft.irfft(spectrum, size)[: round(max_delay_ms * rate_hz / 1000) + 1]
    delay = int(products.argmax())
    return Likeness(_correlation(original, later[delay:]), delay * 1000 / rate_hz)


def likeness_in_pieces(
    original: Pcm, later: Pcm, rate_hz: int, *, max_delay_ms: float = 60, torn: int = 0
) -> Likeness:
    """Of quarters of a second, each at its own delay, without as many as were `torn`: the least
    alike. The delay is the longest."""
    size, reach = rate_hz // 4, round(max_delay_ms * rate_hz / 1000)
    pieces: list[tuple[Pcm, Pcm, Likeness]] = []
    for start in range(0, min(len(original), len(later)) - size - reach, size):
        piece, region = original[start : start + size], later[start : start + size + reach]
        found = likeness(piece, region, rate_hz, max_delay_ms=max_delay_ms)
        delay = round(found.delay_ms * rate_hz / 1000)
        pieces.append((piece, region[delay : delay + size], found))
    pieces.sort(key=lambda each: each[2].correlation)
    whole = pieces[torn:]
    said, heard = (np.concatenate([each[side] for each in whole]) for side in (0, 1))
    return Likeness(_correlation(said, heard), max(each[2].delay_ms for each in whole))


def _correlation(one: Pcm, other: Pcm) -> float:
    size = min(len(one), len(other))
    x, y = one[:size].astype(np.float64), other[:size].astype(np.float64)
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))
