"""A program: decoders get payloads right behind which the process has no memory.

libav reads on behind the end of what it is given, as its contract allows it. So bytes that are
given to it as they lie in Python kill the process, whenever nothing happens to lie behind them.
Here nothing ever does. Each codec that survives is a line.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import cast

from common.audio import AudioFormat, Encoding
from tests.workers.audio.test_amr_wb import sid
from tests.workers.audio.test_mp3 import SPEECH_24K, tag
from workers.audio.amr_wb import AmrWbDecoder
from workers.audio.amr_wb_payload import NO_REQUEST, Frame, Packing, Payload, pack
from workers.audio.av_codec import create
from workers.audio.codec import Decoder
from workers.audio.codecs import open_decoder

ROOM = 16 * mmap.PAGESIZE

#: Mode 2, and the longest of all, 23.85 kbit/s.
SPEECH_FRAMES = (Frame(2, True, bytes(32)), Frame(8, True, bytes(60)))


class Ledge:
    """Memory with none behind it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 2 * ROOM)
        end = ctypes.addressof(ctypes.c_char.from_buffer(self._memory)) + ROOM
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if protect(end, ROOM, 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def place(self, payload: bytes) -> bytes:
        """The payload, at the very end; until the next."""
        start = ROOM - len(payload)
        self._memory[start:ROOM] = payload
        return cast(bytes, memoryview(self._memory)[start:])[: len(payload)]


def survive(name: str, decoder: Decoder, payloads: list[bytes]) -> None:
    ledge = Ledge()
    samples = sum(len(decoder.decode(ledge.place(payload))) for payload in payloads)
    assert samples > 0
    print(name, flush=True)


def main() -> None:
    g722 = [bytes(range(length)) for length in range(1, 161)]
    survive("G722", open_decoder(AudioFormat(Encoding.G722, 16_000)), g722)
    opus = [b"\x08\x0b\xe4\xc1\x36\xec\xc5\x80"]
    survive("OPUS", open_decoder(AudioFormat(Encoding.OPUS, 48_000)), opus)
    frames = [pack(Payload(NO_REQUEST, (frame,)), Packing.OCTET_ALIGNED) for frame in SPEECH_FRAMES]
    for decoder in ("libopencore_amrwb", "amrwb"):
        survive(decoder, AmrWbDecoder((decoder,)), [*frames, sid()])
    # In halves: only of a frame that was torn the parser takes more than there is.
    packets = create(("mp3",), "r").parse(SPEECH_24K[len(tag(2000)) :])
    mp3 = [half for whole in map(bytes, packets[:30]) for half in (whole[:50], whole[50:])]
    survive("MP3", open_decoder(AudioFormat(Encoding.MP3, 24_000)), mp3)


if __name__ == "__main__":
    main()
