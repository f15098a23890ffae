"""What an agent makes of the frames it hears: one rule, played by the agent, replayed by the
checker; no I/O.

For the n-th frame heard, h(n) = blake2b(h(n-1), sequence, frame), and one frame is played that
carries h(n). One number so proves that nothing was lost, doubled or swapped before it.

Rule 1: deterministic. The same frames from the same progress give the same output, so an owner who
        takes over, or replays after Redis went back in time, says exactly the same.
Rule 2: an agent with a lead has that much speech of its own queued before the first answer, and
        again after every clear: the caller's ear is always that far behind.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import msgspec

from tests.system.chaos.frames import Flag, Played, Said

__all__ = ["MARK_EVERY", "Progress", "Rules", "Step", "begin", "fold", "played_after"]

#: One mark a second.
MARK_EVERY = 50


class Rules(NamedTuple):
    """`clear_every`: frames heard between two clears; 0: none."""

    lead_frames: int = 0
    clear_every: int = 0


class Progress(msgspec.Struct):
    """The agent's state: all that a new owner needs to go on. `marks`: the ends it was told of, as
    (number, outcome); `keys`: those that were pressed."""

    caller: int = 0
    heard: int = 0
    digest: bytes = bytes(16)
    played: int = 0
    last: int = 0
    lost: int = 0
    repeated: int = 0
    disordered: int = 0
    damaged: int = 0
    marks: list[tuple[int, str]] = []
    keys: str = ""


class Step(NamedTuple):
    """What to do, in this order; `mark` 0: none."""

    clears: bool
    frames: list[Played]
    mark: int = 0


def begin(progress: Progress, rules: Rules, *, call: int = 0) -> Step:
    """The speech before the first answer."""
    return Step(clears=False, frames=_lead(progress, rules, call, Flag(0)))


def fold(progress: Progress, rules: Rules, said: Said, payload: bytes, *, call: int = 0) -> Step:
    """One frame was heard."""
    _count(progress, said)
    progress.heard += 1
    chained = blake2b(progress.digest, digest_size=16)
    chained.update(said.sequence.to_bytes(4, "little"))
    chained.update(payload)
    progress.digest = chained.digest()
    clears = bool(rules.clear_every) and progress.heard % rules.clear_every == 0
    frames = _lead(progress, rules, call, Flag.AFTER_CLEAR) if clears else []
    first = Flag.AFTER_CLEAR if clears and not frames else Flag(0)
    frames.append(_next(progress, call, first))
    mark = progress.played if progress.heard % MARK_EVERY == 0 else 0
    return Step(clears, frames, mark)


def _count(progress: Progress, said: Said) -> None:
    """Where the frame stands to those before it. A frame that comes late was counted as lost when
    those behind it came first."""
    progress.caller = progress.caller or said.caller
    missing = said.sequence - progress.last - 1
    if missing >= 0:
        progress.lost += missing
        progress.last = said.sequence
    elif said.sequence == progress.last:
        progress.repeated += 1
    else:
        progress.disordered += 1


def _lead(progress: Progress, rules: Rules, call: int, first: Flag) -> list[Played]:
    return [
        _next(progress, call, Flag.LEAD | (first if number == 0 else Flag(0)))
        for number in range(rules.lead_frames)
    ]


def _next(progress: Progress, call: int, flags: Flag) -> Played:
    progress.played += 1
    digest = int.from_bytes(progress.digest[:8], "little")
    return Played(call, progress.played, progress.heard, digest, flags)


def played_after(said: int, rules: Rules) -> int:
    """How many frames an agent has played when it has heard so many."""
    clears = said // rules.clear_every if rules.clear_every else 0
    return said + rules.lead_frames * (1 + clears)
