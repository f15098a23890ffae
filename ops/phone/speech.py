"""What the caller says, cut into the chunks that the provider sends.

It is made in a format without memory, the provider's own or else linear samples, so that files pass
untouched and keys can sound in it; codecs that remember encode it at last, chunk by chunk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from common.audio import AudioFormat
from ops.phone import keypad, wav
from workers.audio import codecs
from workers.audio.codec import Pcm

__all__ = ["from_wav", "tune"]

#: How long the caller speaks when neither a file nor a length is given.
DEFAULT_S = 5.0

_BLOCK = 1000  # chunks
_PEAK = 8000  # a quarter of full scale: clearly heard, never harsh


def from_wav(
    path: Path,
    audio_format: AudioFormat,
    *,
    chunk_ms: int,
    seconds: float | None,
    keys: str = "",
    listen_s: float = 0.0,
) -> list[bytes]:
    """The file once, or from its beginning again and again until `seconds` are full; `keys` sound
    in it; then silence for `listen_s`. Raises UsageError for a file that is none, AgentError for a
    codec that is not there."""
    plain = _plain(audio_format)
    chunks = _cut(wav.read(path, plain), plain, chunk_ms)
    if seconds is not None:
        chunks = list(itertools.islice(itertools.cycle(chunks), _count(seconds, chunk_ms)))
    chunks += _silence(plain, chunk_ms, listen_s)
    return _said(chunks, plain, keys, audio_format, chunk_ms)


def tune(
    audio_format: AudioFormat,
    *,
    chunk_ms: int,
    seconds: float | None,
    keys: str = "",
    listen_s: float = 0.0,
) -> list[bytes]:
    """A tune in which no chunk sounds like any other, so that a lost one is always told apart:
    a slow chirp whose pitch also steps a little from one chunk to the next. Raises AgentError."""
    plain = _plain(audio_format)
    count = _count(DEFAULT_S if seconds is None else seconds, chunk_ms)
    phase = 0.0
    chunks: list[bytes] = []
    while len(chunks) < count:  # in blocks, so that an hour of it does not fill the memory
        block = range(len(chunks), min(len(chunks) + _BLOCK, count))
        samples, phase = _tune_block(block, plain, chunk_ms, phase)
        chunks += _cut(codecs.encode(samples, plain), plain, chunk_ms)
    chunks += _silence(plain, chunk_ms, listen_s)
    return _said(chunks, plain, keys, audio_format, chunk_ms)


def _tune_block(
    chunks: range, audio_format: AudioFormat, chunk_ms: int, phase: float
) -> tuple[Pcm, float]:
    rate_hz = audio_format.rate_hz
    size = audio_format.samples_for_ms(chunk_ms)
    index = np.arange(chunks.start * size, chunks.stop * size)
    # The golden ratio sets neighbours far apart and never lets the sequence close.
    step = index // size * (math.sqrt(5) - 1) / 2 % 1.0
    chirp = np.sin(2 * np.pi * index / (rate_hz * math.sqrt(7)))
    pitch_hz = 440 + 180 * chirp + 40 * step
    phases = phase + 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    samples = (_PEAK * np.sin(phases)).astype(np.int16)
    return samples, float(phases[-1])


def _plain(audio_format: AudioFormat) -> AudioFormat:
    """What the speech is made in before it is encoded."""
    if wav.can_hold(audio_format):
        return audio_format
    return AudioFormat.pcm(codecs.open_encoder(audio_format).rate_hz)


def _said(
    chunks: list[bytes], plain: AudioFormat, keys: str, audio_format: AudioFormat, chunk_ms: int
) -> list[bytes]:
    if keys:
        chunks = _cut(keypad.press(keys, b"".join(chunks), plain), plain, chunk_ms)
    return chunks if plain == audio_format else _encoded(chunks, plain, audio_format)


def _encoded(chunks: Iterable[bytes], plain: AudioFormat, audio_format: AudioFormat) -> list[bytes]:
    """One payload for each chunk, which the codec has to be able to fill."""
    encoder = codecs.open_encoder(audio_format)
    payloads: list[bytes] = []
    for chunk in chunks:
        ((payload, _),) = encoder.encode(codecs.decode(chunk, plain))
        payloads.append(payload)
    return payloads


def _silence(audio_format: AudioFormat, chunk_ms: int, seconds: float) -> list[bytes]:
    size = audio_format.bytes_for(audio_format.samples_for_ms(chunk_ms))
    return [audio_format.silence(size)] * _count(seconds, chunk_ms)


def _count(seconds: float, chunk_ms: int) -> int:
    return math.ceil(round(seconds * 1000 / chunk_ms, 6))


def _cut(audio: bytes, audio_format: AudioFormat, chunk_ms: int) -> list[bytes]:
    """Whole chunks; the last is filled up with silence."""
    size = audio_format.bytes_for(audio_format.samples_for_ms(chunk_ms))
    missing = -len(audio) % size
    audio += audio_format.silence(missing)
    return [audio[at : at + size] for at in range(0, len(audio), size)]
