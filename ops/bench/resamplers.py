"""Resamplers side by side on 20 ms frames: cost, delay, what they keep and what they let through.

A library that is not installed is left out: none of them is a dependency of ours for this.
Delay is the most that is held back after a frame, plus how late a tone comes out of what is not.
Loss is that of 3.4 kHz (the end of the telephone's band), from 8 to 16 kHz. Image is all that comes
out beside that tone, clicks at the edges of frames included. Alias is what is left of 4.3 and of
5 kHz, from 16 to 8 kHz, where neither can exist.

Usage: python -m ops.bench.resamplers
"""

from __future__ import annotations

import importlib
import math
import timeit
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.audio.codec import Pcm
from workers.audio.resampler import Resampler

__all__ = ["main"]

_Process = Callable[[Pcm], Pcm]
_Make = Callable[[int, int], _Process]

_SECONDS = 2
_PEAK = 16_000


def main() -> None:
    print(f"{'':28}   µs 8>16  16>8   ms delay   dB loss   image  alias 4.3k   5k")
    for name, make in _installed():
        up, down = make(8000, 16_000), make(16_000, 8000)
        costs = f"{_cost_us(up, 8000):7.1f} {_cost_us(down, 16_000):6.1f}"
        kept, image = _tone_and_rest(make(8000, 16_000), 3400, 8000, 16_000)
        aliases = [_level(make(16_000, 8000), hz) for hz in (4300, 5000)]
        delay_ms = _delay_ms(make(8000, 16_000), 8000, 16_000)
        print(f"{name:28} {costs} {delay_ms:10.2f} {-kept:9.2f} {image:8.0f}", end="")
        print(f"{aliases[0]:11.0f} {aliases[1]:5.0f}")


def _installed() -> Iterator[tuple[str, _Make]]:
    makers: list[tuple[str, str, Callable[[Any], _Make]]] = [
        ("workers.audio.resampler", "", lambda _: lambda a, b: Resampler(a, b).process),
        ("PyAV AudioResampler", "av", _av),
        *((f"libsamplerate {kind}", "samplerate", _samplerate(kind))
          for kind in ("sinc_fastest", "sinc_medium", "linear")),
        *((f"soxr {quality}", "soxr", _soxr(quality)) for quality in ("QQ", "LQ", "MQ", "HQ")),
        ("audioop.ratecv", "audioop", _audioop),
    ]  # fmt: skip
    for name, module, adapt in makers:
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                library = importlib.import_module(module) if module else None
        except ImportError:
            print(f"{name:28} is not installed")
        else:
            yield name, adapt(library)


def _av(av: Any) -> _Make:
    def make(from_hz: int, to_hz: int) -> _Process:
        resampler = av.AudioResampler("s16", "mono", to_hz)

        def process(pcm: Pcm) -> Pcm:
            frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], "s16", "mono")
            frame.sample_rate = from_hz
            frames = [frame.to_ndarray()[0] for frame in resampler.resample(frame)]
            return np.concatenate(frames) if frames else np.zeros(0, np.int16)

        return process

    return make


def _samplerate(kind: str) -> Callable[[Any], _Make]:
    def adapt(samplerate: Any) -> _Make:
        def make(from_hz: int, to_hz: int) -> _Process:
            resampler = samplerate.Resampler(kind, channels=1)
            ratio = to_hz / from_hz

            def process(pcm: Pcm) -> Pcm:
                samples = np.rint(resampler.process(pcm.astype(np.float32), ratio))
                clipped: Pcm = np.clip(samples, -32_768, 32_767).astype(np.int16)
                return clipped

            return process

        return make

    return adapt


def _soxr(quality: str) -> Callable[[Any], _Make]:
    def adapt(soxr: Any) -> _Make:
        def make(from_hz: int, to_hz: int) -> _Process:
            stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality=quality)
            return lambda pcm: stream.resample_chunk(pcm)

        return make

    return adapt


def _audioop(audioop: Any) -> _Make:
    def make(from_hz: int, to_hz: int) -> _Process:
        state: Any = None

        def process(pcm: Pcm) -> Pcm:
            nonlocal state
            data, state = audioop.ratecv(pcm.tobytes(), 2, 1, from_hz, to_hz, state)
            return np.frombuffer(data, np.int16)

        return process

    return make


def _cost_us(process: _Process, from_hz: int) -> float:
    frame = _tone(1000, from_hz)[: from_hz // 50]
    rounds = timeit.repeat(lambda: process(frame), number=500, repeat=7)
    return min(rounds) / 500 * 1e6


def _delay_ms(process: _Process, from_hz: int, to_hz: int) -> float:
    frames = list(_frames(process, _tone(400, from_hz), from_hz))
    given = np.cumsum([len(frame) for frame in frames]) * 1000 / to_hz
    held_ms = np.max(20 * np.arange(1, len(frames) + 1) - given)
    late_cycles = -np.angle(_share(np.concatenate(frames), 400, to_hz)) / (2 * np.pi)
    return float(held_ms + late_cycles * 1000 / 400)


def _tone_and_rest(process: _Process, hz: int, from_hz: int, to_hz: int) -> tuple[float, float]:
    """dB of the tone and of all else, in comparison with the tone that went in."""
    output = _through(process, _tone(hz, from_hz), from_hz)
    share = _share(output, hz, to_hz)
    middle = _middle(output, to_hz)
    rest = (middle / _PEAK).std() ** 2 - abs(share) ** 2 / 2
    return _db(abs(share)), _db(math.sqrt(max(rest, 1e-12) * 2))


def _level(process: _Process, hz: int) -> float:
    """dB of all that is left of a tone, from 16 to 8 kHz."""
    output = _through(process, _tone(hz, 16_000), 16_000)
    return _db(float(_middle(output, 8000).std()) / _PEAK * math.sqrt(2))


def _share(output: Pcm, hz: int, rate_hz: int) -> complex:
    """The tone's amplitude and phase beside those that it went in with."""
    middle = _middle(output, rate_hz)
    time = np.arange(len(middle)) / rate_hz + _SECONDS / 4
    return complex((middle * np.exp(-2j * np.pi * hz * time)).mean() * 2j / _PEAK)


def _middle(output: Pcm, rate_hz: int) -> NDArray[np.float64]:
    """One second, whole cycles of every tone here, away from both ends."""
    start = rate_hz * _SECONDS // 4
    return output[start : start + rate_hz].astype(np.float64)


def _through(process: _Process, pcm: Pcm, rate_hz: int) -> Pcm:
    return np.concatenate(list(_frames(process, pcm, rate_hz)))


def _frames(process: _Process, pcm: Pcm, rate_hz: int) -> Iterator[Pcm]:
    size = rate_hz // 50
    return (process(pcm[at : at + size]) for at in range(0, len(pcm), size))


def _tone(hz: int, rate_hz: int) -> Pcm:
    time = np.arange(rate_hz * _SECONDS) / rate_hz
    samples: Pcm = np.rint(_PEAK * np.sin(2 * np.pi * hz * time)).astype(np.int16)
    return samples


def _db(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-6))


if __name__ == "__main__":
    main()
