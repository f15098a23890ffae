from __future__ import annotations

from ops.phone import printout
from ops.phone.line import Ending
from ops.phone.report import report_on
from tests.ops.phone.records import FRAMES, echoed_call, echoed_packets, silent_call


def test_one_call_is_one_row() -> None:
    record = echoed_call()
    record.playout.mark("hello", now=50.0)
    record.playout.take_ended_marks(now=50.0)
    lines = printout.table(report_on([record])).splitlines()
    assert lines[0].split()[:4] == ["call", "sent", "heard", "lost"]
    assert lines[1].split()[:5] == ["twilio", "1", "50", "50", "0"]
    assert lines[1].endswith("1/1  completed")
    assert lines[2] == "twilio 1: marks hello played"
    assert len(lines) == 3


def test_unknown_numbers_are_dashes() -> None:
    lines = printout.table(report_on([silent_call()])).splitlines()
    assert lines[1].split()[4:10] == ["-"] * 6


def test_columns_line_up() -> None:
    lines = printout.table(report_on([silent_call(), echoed_call()])).splitlines()
    ends = [line.index("completed") for line in lines[1:3]]
    assert ends == [lines[0].index("outcome")] * 2


def test_few_calls_are_listed_and_totalled() -> None:
    lines = printout.table(report_on([echoed_call()] * 3)).splitlines()
    assert len(lines) == 5
    assert lines[4].startswith("3 calls")
    assert lines[4].endswith("3 of 3 behaved")


def test_many_calls_are_totals_and_what_went_wrong() -> None:
    records = [echoed_call() for _ in range(20)]
    records[6] = echoed_call(FRAMES[:40])
    lines = printout.table(report_on(records)).splitlines()
    assert len(lines) == 3
    assert lines[1].endswith("19 of 20 behaved")
    assert lines[2] == "twilio 7: 10 frames lost"


def test_faults_of_many_calls_are_cut() -> None:
    text = printout.table(report_on([echoed_call(FRAMES[:40])] * 15))
    assert text.endswith("and 5 more calls that did not behave")


def test_what_was_cut_off_is_told() -> None:
    record = echoed_call(FRAMES[:40])
    record.ending = Ending.HUNG_UP
    lines = printout.table(report_on([record])).splitlines()
    assert lines[-1] == "twilio 1: on their way when the agent cleared or hung up: 10"


def test_many_marks_are_cut() -> None:
    record = silent_call()
    for number in range(12):
        record.playout.mark(f"m{number}", now=1.0)
    assert printout.table(report_on([record])).endswith("m9 pending, and 2 more")


def test_progress_says_how_it_goes() -> None:
    line = printout.progress_line([echoed_call(), echoed_call()], elapsed_s=12.44)
    assert line == "2 calls · 12.4 s · sent 100 · heard 100 · rtt 10 ms"


def test_progress_of_packets_of_any_size() -> None:
    line = printout.progress_line([echoed_packets()], elapsed_s=1.0)
    assert line == "1 call · 1.0 s · sent 50 · heard 50 · rtt 10 ms"


def test_progress_of_no_echo_has_no_round_trip() -> None:
    record = silent_call()
    record.faults["bad"] = 3
    line = printout.progress_line([record], elapsed_s=1.0)
    assert line == "1 call · 1.0 s · sent 50 · heard 0 · faults 3"
