"""Ledger and reports -> what was lost, repeated and out of order; no I/O but reading them.

Everything that a call should have been follows from how many frames its caller said: the score,
played over these frames, tells each frame that should have been heard and each mark.

Rule 1: exactly once. Frames said = frames folded, by number and by digest; frames heard = frames
        played, in order, but for those that a clear may take; marks set = given back = told.
Rule 2: a call that the far end closed was cut: what was on its way then is nobody's loss, but
        up to there nothing may be missing.
Rule 3: one fault may show twice, a frame that the agent never heard as an answer that the caller
        never heard; so counts above zero tell that something is wrong, and the problems where.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ops.phone.dialect import Dialect
from tests.system.chaos import frames, score
from tests.system.chaos.chain_agent import Report
from tests.system.chaos.ear import WITHOUT_MARKS
from tests.system.chaos.frames import Flag, Played, Said
from tests.system.chaos.ledger import Kind, Records
from tests.system.chaos.score import Progress, Rules

__all__ = ["CallResult", "Tally", "check", "read_reports"]

_FRAME_NS = 20_000_000
_NORMAL = 1000


class CallResult(msgspec.Struct):
    """One call. `problems` says, for people, what was wrong and at which frame first."""

    caller: int
    said: int = 0
    heard: int = 0
    lost: int = 0
    repeated: int = 0
    disordered: int = 0
    gap_ms: float = 0.0
    late_ms: float = 0.0
    keys: str = ""
    close_code: int = 0
    stopped: bool = False  # the caller hung up; else the call was cut
    call: str = ""
    reason: str = ""
    problems: list[str] = []

    def wrong(self, text: str) -> None:
        self.problems.append(text)


class Tally(NamedTuple):
    """All calls of a run. `refused`: sockets that were not taken."""

    calls: list[CallResult]
    refused: int

    def total(self, what: str) -> int:
        return sum(getattr(call, what) for call in self.calls)

    @property
    def gap_ms(self) -> float:
        return max((call.gap_ms for call in self.calls), default=0.0)

    @property
    def late_ms(self) -> float:
        """By how much the callers themselves were late: what the machine did to everybody."""
        return max((call.late_ms for call in self.calls), default=0.0)

    def problems(self) -> list[str]:
        return [
            f"call {call.caller} ({call.call or 'no report'}): {problem}"
            for call in self.calls
            for problem in call.problems
        ]


def read_reports(directory: Path) -> dict[int, list[Report]]:
    """By caller."""
    decoder = msgspec.json.Decoder(Report)
    reports: dict[int, list[Report]] = defaultdict(list)
    for path in sorted(directory.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            report = decoder.decode(line)
            reports[report.progress.caller].append(report)
    return reports


def check(
    records: Records,
    reports: dict[int, list[Report]],
    dialects: list[Dialect],
    rules: Rules,
    *,
    since_ns: int = 0,
) -> Tally:
    """`dialects`: caller n speaks the n-th of them, round and round. `since_ns`: from when on gaps
    count: how calls begin is not what a fault is judged by."""
    opened = np.unique(records["caller"][records["kind"] == Kind.OPENED])
    refused = int((records["kind"] == Kind.REFUSED).sum())
    calls = []
    for caller in opened:
        dialect = dialects[int(caller) % len(dialects)]
        own = records[records["caller"] == caller]
        result = _check_call(int(caller), own, reports.get(int(caller), []), dialect, rules)
        result.gap_ms = _longest_gap_ms(own, since_ns)
        result.late_ms = _latest_ms(own, since_ns)
        calls.append(result)
    return Tally(calls, refused)


def _check_call(
    caller: int, own: Records, reports: list[Report], dialect: Dialect, rules: Rules
) -> CallResult:
    result = CallResult(caller, problems=[])
    said = own[own["kind"] == Kind.SAID]
    result.said = len(said)
    result.stopped = bool((own["kind"] == Kind.STOPPED).any())
    closed = own[own["kind"] == Kind.CLOSED]
    result.close_code = int(closed["detail"][0]) if len(closed) else 0
    expected = _Expected(caller, result.said, dialect, rules)
    _check_heard(result, own[own["kind"] == Kind.HEARD], expected)
    _check_marks(result, own, expected, dialect)
    _check_report(result, reports, expected)
    for kind, what in ((Kind.DAMAGED, "damaged frames"), (Kind.FAULT, "faults of protocol")):
        if count := int((own["kind"] == kind).sum()):
            result.lost += count if kind is Kind.DAMAGED else 0
            result.wrong(f"{count} {what}")
    return result


class _Expected:
    """The score, played over all that the caller said."""

    def __init__(self, caller: int, said: int, dialect: Dialect, rules: Rules) -> None:
        audio_format = dialect.format
        size = audio_format.bytes_for(audio_format.samples_for_ms(20))
        self.progress = Progress(marks=[])
        self.marks: list[int] = []
        played = list(score.begin(self.progress, rules).frames)
        for number in range(1, said + 1):
            frame = Said(caller, number)
            step = score.fold(self.progress, rules, frame, frames.pack_said(frame, size))
            played += step.frames
            if step.mark:
                self.marks.append(step.mark)
        self.played: list[Played] = played


def _check_heard(result: CallResult, heard: Records, expected: _Expected) -> None:
    result.heard = len(heard)
    sequences = [int(number) for number in heard["sequence"]]
    due = {frame.sequence for frame in expected.played}
    missing = sorted(due.difference(sequences, _cleared(heard)))
    if not result.stopped:
        missing = [number for number in missing if number < max(sequences, default=0)]
    _count(result, "lost", "frames of the agent were not heard", missing, len(missing))
    doubled = [number for number, count in Counter(sequences).items() if count > 1]
    _count(
        result, "repeated", "frames were heard twice", doubled, len(sequences) - len(set(sequences))
    )
    falls = [b for a, b in pairwise(sequences) if b < a]
    _count(result, "disordered", "frames came out of order", falls, len(falls))
    unknown = sorted(set(sequences) - due)
    if unknown:
        result.wrong(f"{len(unknown)} frames that nothing asked for, first {unknown[0]}")
        result.repeated += len(unknown)
    for number, count, digest in zip(sequences, heard["heard"], heard["digest"], strict=True):
        if number in due:
            frame = expected.played[number - 1]
            if (frame.heard, frame.digest) != (int(count), int(digest)):
                result.wrong(f"frame {number} answers other words than were said")
                return


def _cleared(heard: Records) -> set[int]:
    """What a clear may have taken: between the last frame heard before and the first after it."""
    taken: set[int] = set()
    highest = 0
    for number, flags in zip(heard["sequence"], heard["detail"], strict=True):
        if int(flags) & Flag.AFTER_CLEAR:
            taken.update(range(highest + 1, int(number)))
        highest = max(highest, int(number))
    return taken


def _check_marks(result: CallResult, own: Records, expected: _Expected, dialect: Dialect) -> None:
    marked = [int(number) for number in own["sequence"][own["kind"] == Kind.MARKED]]
    echoed = [int(number) for number in own["sequence"][own["kind"] == Kind.ECHOED]]
    if dialect.name in WITHOUT_MARKS:
        return
    taken = _cleared(own[own["kind"] == Kind.HEARD])
    missing = sorted(set(expected.marks).difference(marked, taken))
    if not result.stopped:
        missing = [number for number in missing if number < max(marked, default=0)]
    _count(result, "lost", "marks did not come", missing, len(missing))
    again = len(marked) - len(set(marked)) + len(set(marked) - set(expected.marks))
    _count(result, "repeated", "marks came twice", marked[:0], again)
    if marked != sorted(marked):
        _count(result, "disordered", "marks came out of order", marked[:1], 1)
    if result.stopped and sorted(echoed) != sorted(marked):
        result.wrong(f"{len(marked)} marks came, {len(echoed)} went back")


def _check_report(result: CallResult, reports: list[Report], expected: _Expected) -> None:
    """What the agent knows. Who reports twice must say the same twice."""
    if not reports:
        result.wrong("no agent saw the end of the call")
        result.lost += result.said
        return
    report, told = reports[0], reports[0].progress
    result.call, result.reason, result.keys = report.call, report.reason, told.keys
    if any(other != report for other in reports):
        result.wrong(f"{len(reports)} reports that differ: {_told(reports)}")
        result.repeated += 1
    _count(result, "lost", "frames of the caller did not reach the agent", [], told.lost)
    if result.stopped:
        late = expected.progress.last - told.last
        _count(result, "lost", "last frames of the caller did not reach the agent", [], late)
    _count(result, "repeated", "frames of the caller reached the agent twice", [], told.repeated)
    _count(result, "disordered", "frames of the caller came late", [], told.disordered)
    _count(result, "lost", "frames of the caller were damaged", [], told.damaged)
    is_whole = told.digest == expected.progress.digest or not result.stopped
    if not is_whole and not result.problems:
        result.wrong("the agent heard other frames than were said")
        result.lost += 1
    ended = [number for number, _ in told.marks]
    missing = sorted(set(expected.marks) - set(ended)) if result.stopped else []
    _count(result, "lost", "marks whose end the agent was not told", missing, len(missing))
    again = len(ended) - len(set(ended))
    _count(result, "repeated", "marks whose end was told twice", [], again)


def _count(result: CallResult, what: str, text: str, where: Iterable[int], count: int) -> None:
    if count > 0:
        setattr(result, what, getattr(result, what) + count)
        first = next(iter(where), 0)
        result.wrong(f"{count} {text}" + (f", first {first}" if first else ""))


def _told(reports: list[Report]) -> str:
    return " / ".join(f"{r.progress.heard} heard, {len(r.progress.marks)} marks" for r in reports)


def _longest_gap_ms(own: Records, since_ns: int) -> float:
    """The longest time for which the caller heard nothing though speech was under way: each frame
    is heard from when the one before it ends, or from its arrival, should that be later."""
    longest = ends_at = 0
    for at_ns, kind in zip(own["at_ns"].tolist(), own["kind"].tolist(), strict=True):
        if kind == Kind.HEARD:
            if ends_at and at_ns >= since_ns:
                longest = max(longest, at_ns - ends_at)
            ends_at = max(ends_at, at_ns) + _FRAME_NS
        elif kind == Kind.CLEARED:
            ends_at = 0  # what follows begins anew
    return longest / 1e6


def _latest_ms(own: Records, since_ns: int) -> float:
    at_ns = own["at_ns"][own["kind"] == Kind.SAID].astype(np.int64)
    late = at_ns - at_ns[:1] - np.arange(len(at_ns)) * _FRAME_NS
    return float(late[at_ns >= since_ns].max(initial=0)) / 1e6
