"""Is what came back what was sent? Frames lost, repeated and out of order, and the round trip.

Speech holds many identical frames (silence, a file played twice), so frames are not looked up but
aligned in order: Myers' shortest edit script over the frames that occur on both sides. That is
linear while the echo is in step, and costs the square of the differences where it is not.

Rule 1: a frame cannot have come back before it was sent.
Rule 2: every frame that was sent counts once: in step, out of order, lost or cut off; every one
        that came back counts once: in step, out of order, repeated or unknown.
Rule 3: a frame is cut off, not lost, when it was on its way while the far end forgot what was
        queued or hung up: nothing that was sent after it had come back by then.
Reference: E. W. Myers, An O(ND) Difference Algorithm and Its Variations, 1986.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

__all__ = ["Arrival", "Cut", "EchoCheck", "check_echo"]

#: Differences up to which the best alignment is looked for; what lies beyond is out of step.
MAX_DIFFERENCES = 2000

#: Seconds that a frame can be on its way; who sent it earlier should have had it back.
IN_FLIGHT_S = 2.0

#: How many bytes had been received, and when.
Arrival: TypeAlias = tuple[int, float]


class Cut(NamedTuple):
    """The far end forgot what was queued, or hung up, at some time within these."""

    begin: float
    end: float


class EchoCheck(NamedTuple):
    in_step: int
    out_of_order: int
    repeated: int
    lost: int
    unknown: int  # came back but were never sent
    cut_off: int
    round_trips_ms: list[float]

    @property
    def is_echo(self) -> bool:
        """Whether most of what came back is what was sent, in order, and most of it soon. What
        comes later is not echoed but said again, as by an agent that waits for its turn."""
        came_back = self.in_step + self.out_of_order + self.repeated + self.unknown
        if self.in_step * 2 <= came_back:
            return False
        return statistics.median(self.round_trips_ms) <= IN_FLIGHT_S * 1000


class _Heard(NamedTuple):
    frame: bytes
    at: float


class _Run(NamedTuple):
    """`length` frames in step, from these indices on; `before` is the run that it follows."""

    sent: int
    heard: int
    length: int
    before: _Run | None


def check_echo(
    sent: Sequence[bytes],
    sent_at: Sequence[float],
    received: bytes | bytearray,
    arrivals: Sequence[Arrival],
    cuts: Sequence[Cut] = (),
) -> EchoCheck:
    """Where the frames in `sent` are of equal size, `received` may have been sliced in any other
    way; where they are not (packets of a codec), each message is a frame."""
    known = set(sent)
    sizes = {len(frame) for frame in sent}
    if len(sizes) > 1:
        heard = _messages(received, arrivals)
    else:
        heard = _slice(received, arrivals, known, *sizes) if sizes else []
    back = {frame for frame, _ in heard}
    # What occurs on one side only can never be in step: leaving it out keeps the alignment short.
    common_sent = [index for index, frame in enumerate(sent) if frame in back]
    common_heard = [index for index, (frame, _) in enumerate(heard) if frame in known]

    def may_match(at_sent: int, at_heard: int) -> bool:
        index, (frame, arrived_at) = common_sent[at_sent], heard[common_heard[at_heard]]
        return sent[index] == frame and sent_at[index] <= arrived_at

    matched = {
        common_heard[at_heard]: common_sent[at_sent]
        for at_sent, at_heard in _align(may_match, len(common_sent), len(common_heard))
    }
    in_step = len(matched)
    strays = [index for index in common_heard if index not in matched]
    swapped = _pair(strays, heard, sent, sent_at, left=set(common_sent) - set(matched.values()))
    pairs = {**matched, **swapped}
    back_at = {index: heard[at_heard].at for at_heard, index in pairs.items()}
    cut_off = set[int]().union(*(_in_flight(sent_at, back_at, cut) for cut in cuts))
    return EchoCheck(
        in_step=in_step,
        out_of_order=len(swapped),
        repeated=len(strays) - len(swapped),
        lost=len(sent) - len(pairs) - len(cut_off),
        unknown=len(heard) - len(common_heard),
        cut_off=len(cut_off),
        round_trips_ms=[(heard[h].at - sent_at[s]) * 1000 for h, s in pairs.items()],
    )


def _messages(received: bytes | bytearray, arrivals: Sequence[Arrival]) -> list[_Heard]:
    begins = [0, *(end for end, _ in arrivals)]
    return [
        _Heard(bytes(received[begin:end]), at)
        for begin, (end, at) in zip(begins, arrivals, strict=False)
    ]


def _slice(
    received: bytes | bytearray, arrivals: Sequence[Arrival], known: set[bytes], size: int
) -> list[_Heard]:
    """Slice the stream into frames, and begin anew with the next message where none is found."""
    ends = [end for end, _ in arrivals]
    heard: list[_Heard] = []
    position = 0
    while position < len(received):
        end = position + size
        frame = bytes(received[position:end])
        if frame not in known:
            following = bisect_right(ends, position)
            if ends[following] < len(received):
                end = min(end, ends[following])
            frame = bytes(received[position:end])
        arrived_at = arrivals[min(bisect_left(ends, end), len(ends) - 1)][1]
        heard.append(_Heard(frame, arrived_at))
        position = end
    return heard


def _align(
    may_match: Callable[[int, int], bool], sent_count: int, heard_count: int
) -> list[tuple[int, int]]:
    """Pairs of indices that stay in order and are as many as can be."""
    # Furthest point on each diagonal (sent - heard), and the runs that lead there.
    reach: dict[int, tuple[int, _Run | None]] = {1: (0, None)}
    for differences in range(min(sent_count + heard_count, MAX_DIFFERENCES) + 1):
        lowest = -differences + 2 * max(0, differences - heard_count)
        highest = differences - 2 * max(0, differences - sent_count)
        for diagonal in range(lowest, highest + 1, 2):
            skip_heard = reach.get(diagonal + 1, (-1, None))
            skip_sent = reach.get(diagonal - 1, (-2, None))
            if skip_sent[0] < skip_heard[0]:
                begin, runs = skip_heard
            else:
                begin, runs = skip_sent[0] + 1, skip_sent[1]
            end = begin
            while (
                end < sent_count and end - diagonal < heard_count and may_match(end, end - diagonal)
            ):
                end += 1
            if end > begin:
                runs = _Run(begin, begin - diagonal, end - begin, runs)
            reach[diagonal] = (end, runs)
            if end >= sent_count and end - diagonal >= heard_count:
                return _pairs(runs)
    return _pairs(max(reach.items(), key=lambda item: 2 * item[1][0] - item[0])[1][1])


def _pairs(runs: _Run | None) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    while runs is not None:
        pairs += [(runs.sent + step, runs.heard + step) for step in range(runs.length)]
        runs = runs.before
    return pairs


def _pair(
    strays: Sequence[int],
    heard: Sequence[_Heard],
    sent: Sequence[bytes],
    sent_at: Sequence[float],
    *,
    left: set[int],
) -> dict[int, int]:
    """Which strays are frames that are still missing, and so came back in the wrong place."""
    missing: dict[bytes, deque[int]] = {}
    for index in sorted(left):
        missing.setdefault(sent[index], deque()).append(index)
    pairs: dict[int, int] = {}
    for stray in strays:
        candidates = missing.get(heard[stray].frame)
        if candidates and sent_at[candidates[0]] <= heard[stray].at:
            pairs[stray] = candidates.popleft()
    return pairs


def _in_flight(sent_at: Sequence[float], back_at: Mapping[int, float], cut: Cut) -> set[int]:
    """Frames that never came back, and were on their way at the time of the cut."""
    newest = max((at for at in sent_at if at <= cut.begin), default=cut.begin)
    reached = max((index for index, at in back_at.items() if at <= cut.begin), default=-1)
    return {
        index
        for index in range(reached + 1, len(sent_at))
        if index not in back_at and newest - IN_FLIGHT_S <= sent_at[index] <= cut.end
    }
