"""AMR-WB: 7 kHz of speech in 6.6 to 23.85 kbit/s, 20 ms a frame.

PyAV decodes; libvo-amrwbenc encodes, a library of its own that is loaded when first needed, since
no build of PyAV has an encoder. Payloads are RFC 4867's: `amr_wb_payload.py`.

The other side may ask for a mode, and shows how it packs: an encoder that follows the decoder of
its call obeys. Otherwise it is 12.65 kbit/s, which all networks have, bandwidth-efficient, which is
RFC 4867's default (8.2). Why: ops/adr/0004-codecs.md. Reference: 3GPP TS 26.171, TS 26.201.
"""

from __future__ import annotations

import ctypes
import weakref
from functools import cache

import numpy as np

from common.errors import AgentError
from workers.audio.amr_wb_payload import (
    NO_REQUEST,
    SPEECH_MODES,
    Frame,
    Packing,
    Payload,
    pack,
    unpack_either,
)
from workers.audio.av_codec import NO_SAMPLES, PacketDecoder
from workers.audio.blocks import Blocks
from workers.audio.codec import Encoded, Pcm

__all__ = ["DELAY_MS", "LIBRARY", "MODE", "RATE_HZ", "AmrWbDecoder", "AmrWbEncoder"]

RATE_HZ = 16_000

#: The encoder's look-ahead of 5 ms, and 0.94 ms of filters between 16 and the codec's 12.8 kHz.
DELAY_MS = 5.94

#: Without being asked for another: 12.65 kbit/s.
MODE = 2

LIBRARY = "libvo-amrwbenc.so.0"

_PACKAGE = "libvo-amrwbenc0"

_FRAME_SAMPLES = 320
_MAX_FRAME_BYTES = 61

#: The first knows comfort noise and conceals what is lost; libav's own only decodes good speech.
_DECODERS = ("libopencore_amrwb", "amrwb")


class AmrWbDecoder:
    """Raises AgentError when PyAV has none. `decoders`: libav's, the best first."""

    rate_hz = RATE_HZ

    def __init__(self, decoders: tuple[str, ...] = _DECODERS) -> None:
        self._decoder = PacketDecoder(decoders, RATE_HZ)
        self._only_speech = self._decoder.name == "amrwb"
        #: How the other side packs; None until it has sent something.
        self.packing: Packing | None = None
        #: The mode that the other side asked for last; None when it does not mind.
        self.mode_request: int | None = None

    def decode(self, payload: bytes) -> Pcm:
        """20 ms for each frame, comfort noise and lost ones too. Raises CodecError."""
        likely = self.packing or Packing.BANDWIDTH_EFFICIENT
        unpacked, self.packing = unpack_either(payload, likely)
        if unpacked.mode_request in SPEECH_MODES:
            self.mode_request = unpacked.mode_request
        elif unpacked.mode_request == NO_REQUEST:
            self.mode_request = None
        parts = [self._frame(frame) for frame in unpacked.frames]
        return parts[0] if len(parts) == 1 else np.concatenate([NO_SAMPLES, *parts])

    def _frame(self, frame: Frame) -> Pcm:
        if self._only_speech and not (frame.is_good and frame.type in SPEECH_MODES):
            return np.zeros(_FRAME_SAMPLES, np.int16)
        return self._decoder.decode(bytes([frame.type << 3 | frame.is_good << 2]) + frame.bits)


class AmrWbEncoder:
    """One frame a payload. Raises AgentError when the library is not there. `clock_hz`: of the
    format, in which the length of payloads is told."""

    rate_hz = RATE_HZ

    def __init__(
        self, clock_hz: int = RATE_HZ, packing: Packing = Packing.BANDWIDTH_EFFICIENT
    ) -> None:
        self._library = _library()
        self._state = self._library.E_IF_init()
        if not self._state:
            raise AgentError(f"AMR-WB cannot be encoded: {LIBRARY} has no memory for another call")
        freed = weakref.finalize(self, self._library.E_IF_exit, self._state)
        freed.atexit = False  # a thread that ends with the process may be encoding then
        self._frame_clocks = _FRAME_SAMPLES * clock_hz // RATE_HZ
        self._packing = packing
        self._asked: AmrWbDecoder | None = None
        self._blocks = Blocks(_FRAME_SAMPLES)
        self._output = ctypes.create_string_buffer(_MAX_FRAME_BYTES)

    def follow(self, decoder: AmrWbDecoder) -> None:
        """Use the mode that the other side asks for from now on, and pack as it does."""
        self._asked = decoder

    def encode(self, pcm: Pcm) -> list[Encoded]:
        return [self._encoded(block) for block in self._blocks.take(pcm)]

    def flush(self) -> list[Encoded]:
        return [self._encoded(block) for block in self._blocks.rest()]

    def _encoded(self, block: Pcm) -> Encoded:
        mode, packing = MODE, self._packing
        if self._asked is not None:
            packing = self._asked.packing or packing
            if self._asked.mode_request is not None:
                mode = self._asked.mode_request
        samples = np.ascontiguousarray(block)
        size = self._library.E_IF_encode(self._state, mode, samples.ctypes.data, self._output, 0)
        head, bits = self._output.raw[0], self._output.raw[1:size]
        frame = Frame(head >> 3 & 0x0F, bool(head & 4), bits)
        return Encoded(pack(Payload(NO_REQUEST, (frame,)), packing), self._frame_clocks)


@cache
def _library() -> ctypes.CDLL:
    """Raises AgentError; the next call tries again."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:  # it names the library and what is wrong with it
        raise AgentError(
            f"AMR-WB cannot be encoded: install Debian's {_PACKAGE} ({error})"
        ) from None
    library.E_IF_init.restype = ctypes.c_void_p
    library.E_IF_init.argtypes = []
    library.E_IF_encode.restype = ctypes.c_int
    library.E_IF_encode.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    library.E_IF_exit.restype = None
    library.E_IF_exit.argtypes = [ctypes.c_void_p]
    return library
