"""The agent of `ops.bench.clear_to_silence`: speaks for ten seconds and is interrupted.

What it learns of its marks goes to the file that CLEAR_LOG names, a JSON line each; when it
cleared, by the machine's monotonic clock, stands in the audio that it plays next.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import msgspec

from common.events import CallEnded, MarkReached
from workers import Agent, Call, HeardAudio

__all__ = ["CLEARED", "MAGIC", "MARKS", "Interrupter"]

MARKS = 10
#: How much later than the end of the first second it is interrupted.
_AFTER_MS = 500
#: The one byte that all the speech consists of that is cleared.
CLEARED = b"\x11"
#: What is played after the clear begins with this and the nanoseconds of the clear, 8 bytes each.
MAGIC = b"\x22\x44\x66\x88\xaa\xcc\xee\x00"


class Interrupter(Agent):
    class State(msgspec.Struct):
        clears_at_ms: int | None = None
        has_heard_a_second: bool = False
        is_interrupted: bool = False

    async def on_start(self, call: Call) -> None:
        await call.answer()
        for number in range(MARKS):
            await call.play(CLEARED * call.play_format.bytes_for(call.play_format.rate_hz))
            await call.mark(f"second-{number}")

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        state = call.state
        if state.is_interrupted or not state.has_heard_a_second:
            return
        if state.clears_at_ms is None:
            state.clears_at_ms = audio.offset_ms + _AFTER_MS
        if audio.offset_ms < state.clears_at_ms:
            return
        state.is_interrupted = True
        at = time.monotonic_ns()
        await call.clear()
        frame_bytes = call.play_format.bytes_for(call.play_format.samples_for_ms(20))
        await call.play((MAGIC + at.to_bytes(8, "big")).ljust(frame_bytes, b"\x55"))
        await call.mark("after")

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        call.state.has_heard_a_second = True
        _note(call, what="mark", name=mark.name, outcome=mark.outcome, heard_ms=mark.heard_ms)

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        _note(call, what="stop")


def _note(call: Call, **facts: object) -> None:
    line = {"call": call.id, "provider": call.provider, **facts}
    with Path(os.environ["CLEAR_LOG"]).open("a") as log:
        log.write(json.dumps(line) + "\n")
