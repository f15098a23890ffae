"""What the codecs of PyAV have in common: a packet becomes samples, and samples a packet.

Rule 1: libav takes an empty packet for the end of the stream, after which it decodes no more; so
        none reaches it.
Rule 2: samples stay where libav put them, as long as the array lives: no copy is made.
Rule 3: what it reads lies in memory of its own, or has `AV_INPUT_BUFFER_PADDING_SIZE` bytes more
        behind it: it reads on behind the end, and where memory ends there, so does the process.
Rule 4: it starts no threads. Before each encoder PyAV puts a graph of filters, of which each would
        have a thread per CPU, up to 15, with nothing to do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Literal

import av
import numpy as np
from av import _core
from av.audio.codeccontext import AudioCodecContext
from av.codec.codec import UnknownCodecError
from numpy.typing import NDArray

from common.errors import AgentError, CodecError
from workers.audio.codec import Pcm

__all__ = ["NO_SAMPLES", "BlockEncoder", "PacketDecoder", "create", "samples_of"]

NO_SAMPLES: Pcm = np.zeros(0, np.int16)

_FULL_SCALE = 32_768


def create(names: tuple[str, ...], mode: Literal["r", "w"]) -> AudioCodecContext:
    """The first of libav's `names` that there is, to read or to write. Raises AgentError when
    this PyAV was built without them all."""
    for name in names:
        try:
            codec = av.Codec(name, mode)
        except UnknownCodecError:
            continue
        context = av.CodecContext.create(codec, mode)
        assert isinstance(context, AudioCodecContext)
        return context
    kind = "decoder" if mode == "r" else "encoder"
    raise AgentError(f"PyAV {av.__version__} was built without the {kind} {' or '.join(names)}")


class PacketDecoder:
    """Of one channel. `names`: libav's decoders, the best first. Raises AgentError."""

    def __init__(self, names: tuple[str, ...], rate_hz: int) -> None:
        self._context = create(names, "r")
        self._context.sample_rate = rate_hz
        self._context.layout = "mono"
        self._context.open()

    @property
    def name(self) -> str:
        return self._context.name

    def decode(self, packet: bytes) -> Pcm:
        """Raises CodecError."""
        if not packet:
            raise CodecError(f"{self.name}: the packet is empty")
        try:
            frames = self._context.decode(_copied(packet))
        except av.FFmpegError as error:
            raise CodecError(f"{self.name}: {error.strerror}") from None
        parts = [samples_of(frame) for frame in frames]
        return parts[0] if len(parts) == 1 else np.concatenate([NO_SAMPLES, *parts])


def _copied(data: bytes) -> av.Packet[av.stream.Stream]:
    """Not `av.Packet(data)`, which lies where Python put the bytes: without padding."""
    packet = av.Packet(len(data))
    packet.update(data)
    return packet


class BlockEncoder:
    """Of one channel: a block of `block_samples` becomes a packet. Raises AgentError."""

    def __init__(
        self, name: str, rate_hz: int, *, bit_rate: int, options: Mapping[str, str]
    ) -> None:
        self._context = create((name,), "w")
        self._context.sample_rate = rate_hz
        self._context.layout = "mono"
        self._context.format = "s16"
        self._context.bit_rate = bit_rate
        self._context.options = dict(options)
        self._context.open()

    @property
    def block_samples(self) -> int:
        return self._context.frame_size

    def encode(self, block: NDArray[np.int16]) -> bytes:
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._context.sample_rate
        (packet,) = self._context.encode(frame)
        return bytes(packet)


def samples_of(frame: av.AudioFrame) -> Pcm:
    """The first channel of a decoded frame."""
    plane = memoryview(frame.planes[0])
    if frame.format.name in ("s16", "s16p"):
        return np.frombuffer(plane, np.int16, frame.samples)
    scaled = np.frombuffer(plane, np.float32, frame.samples) * _FULL_SCALE
    pcm: Pcm = np.clip(np.rint(scaled), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    return pcm


def _start_no_threads() -> None:
    """For the process. PyAV has no word for it: this is libavutil's own, of its cpu.h."""
    force_cpu_count = getattr(ctypes.CDLL(_core.__file__), "av_cpu_force_count", None)
    if force_cpu_count is not None:  # else libav is hidden in PyAV: threads cost, but do no harm
        force_cpu_count.argtypes, force_cpu_count.restype = [ctypes.c_int], None
        force_cpu_count(1)


_start_no_threads()
