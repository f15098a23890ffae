"""What a frame of 20 ms costs in every codec, in µs; beside audioop's, where Python still has it.

Then the whole way of a frame that is heard, G.711 at 8 kHz to float32 at 16 kHz: with our own
resampler, with PyAV's, and with audioop's (which lets through what 8 kHz cannot hold). The goal is
40 µs. Every figure is the best of several rounds; codecs that are not installed are left out.

Usage: python -m ops.bench.codecs
"""

from __future__ import annotations

import importlib
import timeit
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from workers.audio import g711
from workers.audio.codec import Pcm
from workers.audio.codecs import open_decoder, open_encoder
from workers.audio.resampler import Resampler

__all__ = ["main"]

_FRAMES_PER_S = 50
_SECONDS = 2
_ROUNDS = 7
_GOAL_US = 40

_FORMATS = [
    AudioFormat.pcmu(),
    AudioFormat(Encoding.PCMA, 8000),
    AudioFormat.pcm(16_000),
    AudioFormat(Encoding.L16BE, 16_000),
    AudioFormat(Encoding.G722, 16_000),
    *(AudioFormat(Encoding.OPUS, rate_hz) for rate_hz in (8000, 16_000, 24_000, 48_000)),
    AudioFormat(Encoding.AMR_WB, 16_000),
]

_Way = Callable[[bytes], NDArray[np.float32]]


def main() -> None:
    print(f"{'µs per frame of 20 ms':34} decode  encode")
    for audio_format in _FORMATS:
        _print_codec(audio_format)
    audioop = _audioop()
    if audioop is None:
        print(f"{'audioop':34} not in this Python")
    else:
        _print_audioop(audioop)
    print(f"\nPCMU/8000 to 16 kHz float32 (goal: {_GOAL_US})")
    payloads = [g711.encode_mulaw(frame) for frame in _frames(8000)]
    for name, way in _ways(audioop):
        print(f"{name:34} {_cost_us(way, payloads):6.1f}")


def _print_codec(audio_format: AudioFormat) -> None:
    try:
        encoder, decoder = open_encoder(audio_format), open_decoder(audio_format)
    except AgentError as error:
        print(f"{audio_format!s:34} {error}")
        return
    frames = _frames(encoder.rate_hz)
    payloads = [each.payload for frame in frames for each in encoder.encode(frame)]
    decode, encode = _cost_us(decoder.decode, payloads), _cost_us(encoder.encode, frames)
    print(f"{audio_format!s:34} {decode:6.1f}  {encode:6.1f}")


def _print_audioop(audioop: Any) -> None:
    frames = [frame.tobytes() for frame in _frames(8000)]
    for name, decode, encode in (
        ("PCMU", audioop.ulaw2lin, audioop.lin2ulaw),
        ("PCMA", audioop.alaw2lin, audioop.lin2alaw),
    ):
        payloads = [encode(frame, 2) for frame in frames]
        to_linear = _cost_us(_of_16_bits(decode), payloads)
        from_linear = _cost_us(_of_16_bits(encode), frames)
        print(f"{f'audioop {name}/8000':34} {to_linear:6.1f}  {from_linear:6.1f}")


def _of_16_bits(function: Callable[[bytes, int], bytes]) -> Callable[[bytes], bytes]:
    return lambda fragment: function(fragment, 2)


def _ways(audioop: Any) -> Iterator[tuple[str, _Way]]:
    yield "ours", _our_way()
    yield "ours, resampled by PyAV", _av_way()
    if audioop is not None:
        yield "audioop and numpy", _audioop_way(audioop)


def _our_way() -> _Way:
    decoder, resampler = open_decoder(AudioFormat.pcmu()), Resampler(8000, 16_000)

    def convert(payload: bytes) -> NDArray[np.float32]:
        return _scaled(resampler.process(decoder.decode(payload)))

    return convert


def _av_way() -> _Way:
    decoder = open_decoder(AudioFormat.pcmu())
    resampler = av.AudioResampler("flt", "mono", 16_000)

    def convert(payload: bytes) -> NDArray[np.float32]:
        pcm = decoder.decode(payload)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), "s16", "mono")
        frame.sample_rate = 8000
        parts = [out.to_ndarray()[0] for out in resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    return convert


def _audioop_way(audioop: Any) -> _Way:
    state: Any = None

    def convert(payload: bytes) -> NDArray[np.float32]:
        nonlocal state
        pcm, state = audioop.ratecv(audioop.ulaw2lin(payload, 2), 2, 1, 8000, 16_000, state)
        return _scaled(np.frombuffer(pcm, np.int16))

    return convert


def _scaled(pcm: Pcm) -> NDArray[np.float32]:
    samples = pcm.astype(np.float32)
    samples /= 32_768
    return samples


def _frames(rate_hz: int) -> list[Pcm]:
    """A voice of a kind: a low tone, its overtones and noise, which swell and fade."""
    time = np.arange(_SECONDS * rate_hz) / rate_hz
    voice = sum(np.sin(2 * np.pi * 120 * n * time) / n for n in range(1, 25))
    noise = np.random.default_rng(7).normal(0, 0.05, len(time))
    swell = np.sin(2 * np.pi * 3 * time) ** 2
    pcm = (6000 * swell * (voice + noise)).astype(np.int16)
    return list(pcm.reshape(_SECONDS * _FRAMES_PER_S, -1))


def _cost_us(function: Callable[[Any], object], arguments: list[Any]) -> float:
    def once() -> None:
        for argument in arguments:
            function(argument)

    once()
    return min(timeit.repeat(once, number=1, repeat=_ROUNDS)) / len(arguments) * 1e6


def _audioop() -> Any:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        try:
            return importlib.import_module("audioop")
        except ImportError:
            return None


if __name__ == "__main__":
    main()
