"""What became of the calls: one judgement per call, a table for people, JSON for machines.

A call behaved when nothing stands in its `faults`: no frame against the protocol, no close but
1000, and, where the far end is an echo, nothing lost, repeated, out of order or made up. An echo
numbers its marks `echo-<n>`, so each comes once; other names may come as often as a key is pressed.
What was on its way when the far end cleared or hung up is not lost.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence

import msgspec

from ops.phone import heard
from ops.phone.echo_check import Cut, EchoCheck, check_echo
from ops.phone.line import CallRecord, Ending
from ops.phone.playout import MarkEnd

__all__ = ["CallReport", "Report", "RoundTrip", "report_on"]

#: Different faults listed per call; a broken edge breaks every frame.
MAX_FAULTS = 20

#: What the built-in agent echo does at this key, a provider without a word for it is not told.
CLEARING_KEY = "*"
#: Seconds from such a key to the clear.
_CLEARS_WITHIN_S = 0.25

_NUMBERED_MARK = re.compile("echo-[0-9]+")


class RoundTrip(msgspec.Struct, frozen=True):
    p50: float
    p95: float
    p99: float
    max: float


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The echo's numbers are None where the far end is no echo. `frames_cut_off` were on their
    way when the agent cleared or hung up."""

    frames_sent: int
    frames_heard: int
    frames_lost: int | None
    frames_repeated: int | None
    frames_out_of_order: int | None
    frames_unknown: int | None
    frames_cut_off: int | None
    round_trip_ms: RoundTrip | None
    gaps: int
    gap_longest_ms: float
    marks_received: int
    marks_echoed: int
    clears: int
    heard_bytes: int
    behaved: bool


class CallReport(Counts, frozen=True, kw_only=True):
    """`marks` are in the order of arrival, `mark_ends` say how each ended: played, cleared, or
    pending when the call was over before. `heard_digits` are the keys that the far end pressed."""

    call: int
    provider: str
    codec: str
    ending: str
    close_code: int | None
    faults: list[str]
    marks: list[str]
    mark_ends: list[str]
    heard_digits: str
    sent_sha256: str
    heard_sha256: str


class Total(Counts, frozen=True, kw_only=True):
    calls: int
    calls_behaved: int


class Report(msgspec.Struct, frozen=True):
    calls: list[CallReport]
    total: Total


def report_on(records: Sequence[CallRecord]) -> Report:
    checks = [_check(record) for record in records]
    numbered = enumerate(zip(records, checks, strict=True), start=1)
    calls = [_call_report(number, record, check) for number, (record, check) in numbered]
    round_trips_ms = [ms for check in checks if check for ms in check.round_trips_ms]
    return Report(calls, _total(calls, round_trips_ms))


def _check(record: CallRecord) -> EchoCheck | None:
    if record.play_format != record.dialect.format:
        return None  # bytes of one encoding never equal those of another
    check = check_echo(record.sent, record.sent_at, record.received, record.arrivals, _cuts(record))
    return check if check.is_echo or record.script.expects_echo else None


def _cuts(record: CallRecord) -> list[Cut]:
    cuts = [Cut(at, at) for at in record.cleared_at]
    if record.ending is Ending.HUNG_UP:
        cuts.append(Cut(record.ended_at, record.ended_at))
    if not record.dialect.tells_clear:
        keys = zip(record.script.digits, record.pressed_at, strict=False)
        cuts += [Cut(at, at + _CLEARS_WITHIN_S) for key, at in keys if key == CLEARING_KEY]
    return cuts


def _call_report(number: int, record: CallRecord, check: EchoCheck | None) -> CallReport:
    audio = record.playout.heard(now=record.ended_at)
    frames_heard = record.frames_in(record.playout.heard_samples(now=record.ended_at))
    marks = record.playout.marks
    faults = _protocol_faults(record)
    if check is not None:
        faults += _echo_faults(record, check)
    elif record.script.expects_echo:
        faults.append(
            f"an echo in {record.play_format} of {record.dialect.format} cannot be checked"
        )
    return CallReport(
        call=number,
        provider=record.dialect.name,
        codec=str(record.dialect.format),
        frames_sent=len(record.sent_at),
        frames_heard=frames_heard,
        frames_lost=check.lost if check else None,
        frames_repeated=check.repeated if check else None,
        frames_out_of_order=check.out_of_order if check else None,
        frames_unknown=check.unknown if check else None,
        frames_cut_off=check.cut_off if check else None,
        round_trip_ms=_round_trip(check.round_trips_ms) if check else None,
        gaps=len(record.playout.gaps_s),
        gap_longest_ms=round(max(record.playout.gaps_s, default=0.0) * 1000, 1),
        marks_received=len(marks),
        marks_echoed=sum(mark.end is not MarkEnd.PENDING for mark in marks),
        clears=len(record.cleared_at),
        marks=[mark.name for mark in marks],
        mark_ends=[mark.end for mark in marks],
        heard_digits=_heard_digits(record, check),
        ending=record.ending,
        close_code=record.close_code,
        faults=faults,
        heard_bytes=len(audio),
        sent_sha256=hashlib.sha256(b"".join(record.sent)).hexdigest(),
        heard_sha256=hashlib.sha256(audio).hexdigest(),
        behaved=not faults,
    )


def _heard_digits(record: CallRecord, check: EchoCheck | None) -> str:
    """In a faithful echo of speech without keys there are none to be looked for: that takes as
    long as all the rest."""
    is_own_speech = check is not None and not check.unknown and not record.script.sounding_digits
    is_silent = is_own_speech and not record.dialect.takes_dtmf
    return "" if is_silent else heard.keys(record)


def _protocol_faults(record: CallRecord) -> list[str]:
    faults = [
        text if times == 1 else f"{text} ({times} times)"
        for text, times in record.faults.most_common(MAX_FAULTS)
    ]
    if len(record.faults) > MAX_FAULTS:
        faults.append(f"and {len(record.faults) - MAX_FAULTS} other faults")
    return faults


def _echo_faults(record: CallRecord, check: EchoCheck) -> list[str]:
    """An agent that happens to echo may clear what it has long kept back, or stop echoing before
    it hangs up; and it may say something of its own. Only an echo that was asked for may not."""
    expects_echo = record.script.expects_echo
    was_cut = bool(record.cleared_at) or record.ending is not Ending.COMPLETED
    may_cut = was_cut and not expects_echo
    names = [mark.name for mark in record.playout.marks if _NUMBERED_MARK.fullmatch(mark.name)]
    wrong = {
        "lost": 0 if may_cut else check.lost,
        "repeated": check.repeated,
        "out of order": check.out_of_order,
        "never sent but heard": check.unknown if expects_echo else 0,
    }
    faults = [f"{_plural(count, 'frame')} {what}" for what, count in wrong.items() if count]
    twice = sorted(name for name in set(names) if names.count(name) > 1)
    return faults + [f"mark {name!r} came more than once" for name in twice]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _round_trip(values_ms: list[float]) -> RoundTrip | None:
    if not values_ms:
        return None
    ordered = sorted(values_ms)

    def percentile(percent: int) -> float:
        rank = math.ceil(len(ordered) * percent / 100)  # nearest rank: a value that occurred
        return round(ordered[rank - 1], 1)

    return RoundTrip(percentile(50), percentile(95), percentile(99), percentile(100))


def _total(calls: Sequence[CallReport], round_trips_ms: list[float]) -> Total:
    return Total(
        calls=len(calls),
        calls_behaved=sum(call.behaved for call in calls),
        frames_sent=sum(call.frames_sent for call in calls),
        frames_heard=sum(call.frames_heard for call in calls),
        frames_lost=_sum([call.frames_lost for call in calls]),
        frames_repeated=_sum([call.frames_repeated for call in calls]),
        frames_out_of_order=_sum([call.frames_out_of_order for call in calls]),
        frames_unknown=_sum([call.frames_unknown for call in calls]),
        frames_cut_off=_sum([call.frames_cut_off for call in calls]),
        round_trip_ms=_round_trip(round_trips_ms),
        gaps=sum(call.gaps for call in calls),
        gap_longest_ms=max((call.gap_longest_ms for call in calls), default=0.0),
        marks_received=sum(call.marks_received for call in calls),
        marks_echoed=sum(call.marks_echoed for call in calls),
        clears=sum(call.clears for call in calls),
        heard_bytes=sum(call.heard_bytes for call in calls),
        behaved=all(call.behaved for call in calls),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
