"""The smallest useful agent, and a template: says back what it hears.

Every 50th frame is followed by a mark `echo-<frames>`, a key by a mark `dtmf-<key>`; `*` silences
what is queued, `0` hangs up.
"""

from __future__ import annotations

import msgspec

from common.events import DtmfReceived
from workers.agent import Agent
from workers.audio.sound import HeardAudio
from workers.call import Call

__all__ = ["AGENT", "Echo"]

_FRAMES_PER_MARK = 50


class Echo(Agent):
    needs_encoder = False

    class State(msgspec.Struct):
        frames: int = 0

    async def on_start(self, call: Call) -> None:
        await call.answer()

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        await call.play(audio)
        call.state.frames += 1
        if call.state.frames % _FRAMES_PER_MARK == 0:
            await call.mark(f"echo-{call.state.frames}")

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        if dtmf.digit == "*":
            await call.clear()
        elif dtmf.digit == "0":
            await call.hang_up()
        else:
            await call.mark(f"dtmf-{dtmf.digit}")


AGENT = Echo
