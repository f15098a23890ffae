"""The report as text: a line that is redrawn while the calls last, a table when they are over."""

from __future__ import annotations

from collections.abc import Sequence

from ops.phone.line import CallRecord
from ops.phone.report import CallReport, Report, RoundTrip, Total

__all__ = ["progress_line", "table"]

#: Calls listed one by one; more are only told by their totals, and by what went wrong.
MAX_CALLS = 8
#: Calls whose faults are printed, and marks printed per call.
MAX_FAULTY = 10
MAX_MARKS = 10

_HEADINGS = (
    *("call", "sent", "heard", "lost", "repeated", "disordered"),
    *("p50 ms", "p95 ms", "p99 ms", "gaps", "longest ms", "marks", "outcome"),
)


def progress_line(records: Sequence[CallRecord], *, elapsed_s: float) -> str:
    sent = sum(len(record.sent_at) for record in records)
    heard = sum(record.frames_received for record in records)
    parts = [_calls(len(records)), f"{elapsed_s:.1f} s", f"sent {sent}", f"heard {heard}"]
    round_trips_ms = [ms for ms in map(_last_round_trip_ms, records) if ms is not None]
    if round_trips_ms:
        parts.append(f"rtt {max(round_trips_ms):.0f} ms")
    faults = sum(record.faults.total() for record in records)
    if faults:
        parts.append(f"faults {faults}")
    return " · ".join(parts)


def table(report: Report) -> str:
    lists_calls = len(report.calls) <= MAX_CALLS
    rows = [_call_row(call) for call in report.calls] if lists_calls else []
    if len(report.calls) > 1:
        rows.append(_total_row(report.total))
    lines = _columns([_HEADINGS, *rows])
    if lists_calls:
        lines += [_marks_line(call) for call in report.calls if call.marks]
        lines += [_cut_off_line(call) for call in report.calls if call.frames_cut_off]
    faulty = [call for call in report.calls if call.faults]
    for call in faulty[:MAX_FAULTY]:
        lines += [f"{_name(call)}: {fault}" for fault in call.faults]
    if len(faulty) > MAX_FAULTY:
        lines.append(f"and {len(faulty) - MAX_FAULTY} more calls that did not behave")
    return "\n".join(lines)


def _last_round_trip_ms(record: CallRecord) -> float | None:
    """Of the newest frame that came back, if the echo is in step so far; a look, not a check."""
    chunks = record.script.chunks
    number = record.frames_received
    if not 0 < number <= len(record.sent_at):
        return None
    chunk = chunks[number - 1]
    end = number * len(chunk) if record.play_format.is_sliceable else len(record.received)
    if record.received[end - len(chunk) : end] != chunk:
        return None
    return (record.arrivals[-1][1] - record.sent_at[number - 1]) * 1000


def _call_row(call: CallReport) -> tuple[str, ...]:
    outcome = call.ending if call.behaved else f"{call.ending}, did not behave"
    return (_name(call), *_numbers(call, call.round_trip_ms), outcome)


def _total_row(total: Total) -> tuple[str, ...]:
    outcome = f"{total.calls_behaved} of {total.calls} behaved"
    return (_calls(total.calls), *_numbers(total, total.round_trip_ms), outcome)


def _numbers(counts: CallReport | Total, round_trip_ms: RoundTrip | None) -> tuple[str, ...]:
    round_trips = ("-", "-", "-")
    if round_trip_ms is not None:
        round_trips = (
            f"{round_trip_ms.p50:g}",
            f"{round_trip_ms.p95:g}",
            f"{round_trip_ms.p99:g}",
        )
    return (
        str(counts.frames_sent),
        str(counts.frames_heard),
        _known(counts.frames_lost),
        _known(counts.frames_repeated),
        _known(counts.frames_out_of_order),
        *round_trips,
        str(counts.gaps),
        f"{counts.gap_longest_ms:g}",
        f"{counts.marks_echoed}/{counts.marks_received}",
    )


def _known(count: int | None) -> str:
    return "-" if count is None else str(count)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Numbers to the right, names and outcomes to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _marks_line(call: CallReport) -> str:
    marks = [f"{name} {end}" for name, end in zip(call.marks, call.mark_ends, strict=True)]
    more = f", and {len(marks) - MAX_MARKS} more" if len(marks) > MAX_MARKS else ""
    return f"{_name(call)}: marks {', '.join(marks[:MAX_MARKS])}{more}"


def _cut_off_line(call: CallReport) -> str:
    return f"{_name(call)}: on their way when the agent cleared or hung up: {call.frames_cut_off}"


def _name(call: CallReport) -> str:
    return f"{call.provider} {call.call}"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
