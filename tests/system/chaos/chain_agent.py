"""The agent that the workers run under test: plays the score, and reports when the call is over.

CHAOS_LEAD_MS      speech that is always queued ahead of the caller's ear (0)
CHAOS_CLEAR_EVERY  frames heard between two clears (0: none)
CHAOS_REPORTS      directory for the reports, one JSON line a call
CHAOS_DEVIATIONS   "caller:kind,...": the calls on which the agent does wrong on purpose, to show
                   that the checker sees it; kinds: drop, double, swap, remark
CHAOS_POISON       "caller:n": at the n-th frame of that caller the agent kills its worker
"""

from __future__ import annotations

import os
import signal
import zlib
from functools import cache
from pathlib import Path

import msgspec

from tests.system.chaos import score
from tests.system.chaos.frames import Played, pack_played, read_said
from tests.system.chaos.score import Progress, Rules, Step
from workers import Agent, Call, CallEnded, DtmfReceived, HeardAudio, MarkReached

__all__ = ["ChainAgent", "Report"]

_FRAME_MS = 20
#: The frame on which an agent that is to deviate does so.
_DEVIATION_AT = 60


class Report(msgspec.Struct):
    """What an agent knows of its call at the end."""

    call: str
    provider: str
    reason: str
    progress: Progress


class ChainAgent(Agent):
    listen = None  # raw bytes, whatever the provider's codec
    State = Progress

    def __init__(self) -> None:
        self._held: list[Played] = []  # what a deviating agent plays too late

    async def on_start(self, call: Call) -> None:
        await call.answer()
        await self._play(call, score.begin(call.state, _rules(), call=_tag(call)))

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        said = read_said(audio.payload)
        if said is None:
            call.state.damaged += 1
            return
        if _poison() == (said.caller, said.sequence):
            os.kill(os.getpid(), signal.SIGKILL)
        deviation = _deviations().get(said.caller) if said.sequence == _DEVIATION_AT else None
        if deviation == "drop":
            return
        step = score.fold(call.state, _rules(), said, audio.payload, call=_tag(call))
        await self._play(call, self._deviate(step, deviation))

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        call.state.keys += dtmf.digit

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        call.state.marks.append((int(mark.name.removeprefix("m")), mark.outcome.value))

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        """May happen twice when the worker dies here; both times the report is the same."""
        report = Report(call.id, call.provider, stop.reason.value, call.state)
        with (Path(os.environ["CHAOS_REPORTS"]) / f"{os.getpid()}.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(report) + b"\n")

    def _deviate(self, step: Step, deviation: str | None) -> Step:
        """The very faults that the checker is there for."""
        late, self._held = self._held, []
        match deviation:
            case "double":
                return step._replace(frames=[*step.frames, *step.frames[-1:]])
            case "swap":
                self._held = step.frames
                return step._replace(frames=[])
            case "remark":
                return step._replace(mark=_first_mark())
            case _:
                return step._replace(frames=[*step.frames, *late])

    async def _play(self, call: Call, step: Step) -> None:
        if step.clears:
            await call.clear()
        play_format = call.play_format
        size = play_format.bytes_for(play_format.samples_for_ms(_FRAME_MS))
        await call.play(b"".join(pack_played(frame, size) for frame in step.frames))
        if step.mark:
            await call.mark(f"m{step.mark}")


def _tag(call: Call) -> int:
    return zlib.crc32(call.id.encode())


def _first_mark() -> int:
    return score.MARK_EVERY + _rules().lead_frames


@cache
def _rules() -> Rules:
    lead_ms = int(os.environ.get("CHAOS_LEAD_MS", "0"))
    return Rules(lead_ms // _FRAME_MS, int(os.environ.get("CHAOS_CLEAR_EVERY", "0")))


@cache
def _deviations() -> dict[int, str]:
    pairs = [pair.partition(":") for pair in os.environ.get("CHAOS_DEVIATIONS", "").split(",")]
    return {int(caller): kind for caller, _, kind in pairs if caller}


@cache
def _poison() -> tuple[int, int] | None:
    caller, _, frame = os.environ.get("CHAOS_POISON", "").partition(":")
    return (int(caller), int(frame)) if caller else None
