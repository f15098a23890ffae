from __future__ import annotations

import hashlib

import msgspec
import pytest

from common.audio import AudioFormat
from ops.phone import speech
from ops.phone.line import CallRecord, Ending
from ops.phone.report import MAX_FAULTS, CallReport, RoundTrip, report_on
from tests.ops.phone.records import FRAMES, echoed_call, echoed_packets, silent_call


def report_of(record: CallRecord) -> CallReport:
    return report_on([record]).calls[0]


def test_perfect_echo_behaved() -> None:
    report = report_of(echoed_call(expects_echo=True))
    assert report.behaved
    assert report.faults == []
    assert (report.frames_sent, report.frames_heard) == (50, 50)
    assert (report.frames_lost, report.frames_repeated, report.frames_out_of_order) == (0, 0, 0)
    assert report.round_trip_ms == RoundTrip(p50=10, p95=10, p99=10, max=10)
    assert report.heard_bytes == 8000
    assert report.sent_sha256 == report.heard_sha256
    assert report.sent_sha256 == hashlib.sha256(b"".join(FRAMES)).hexdigest()


def test_packets_are_counted_by_the_time_they_last() -> None:
    report = report_of(echoed_packets())
    assert report.behaved
    assert (report.codec, report.frames_sent, report.frames_heard) == ("OPUS/16000", 50, 50)
    assert (report.frames_lost, report.gaps) == (0, 0)
    assert report.round_trip_ms == RoundTrip(p50=10, p95=10, p99=10, max=10)
    assert report.sent_sha256 == report.heard_sha256


def with_keys(keys: str) -> CallRecord:
    """The agent says something of its own, in which keys sound."""
    return echoed_call(speech.tune(AudioFormat.pcmu(), chunk_ms=20, seconds=3, keys=keys))


def test_keys_that_the_far_end_pressed_are_told() -> None:
    assert report_of(with_keys("42#")).heard_digits == "42#"
    assert report_of(with_keys("")).heard_digits == ""
    assert report_of(silent_call()).heard_digits == ""
    by_message = echoed_call(provider="sunvone")
    by_message.keys += ["1", "*"]
    assert report_of(by_message).heard_digits == "1*"


def test_keys_of_the_caller_that_come_back_are_heard() -> None:
    chunks = speech.tune(AudioFormat.pcmu(), chunk_ms=20, seconds=1, keys="7")
    record = echoed_call(chunks)
    record.script = msgspec.structs.replace(record.script, chunks=chunks, sounding_digits="7")
    report = report_of(record)
    assert (report.frames_lost, report.heard_digits) == (0, "7")


@pytest.mark.parametrize("expects_echo", [True, False])
@pytest.mark.parametrize(
    ("frames", "fault"),
    [
        (FRAMES[:9] + FRAMES[10:], "1 frame lost"),
        (FRAMES[:40], "10 frames lost"),
        (FRAMES[:10] + FRAMES[9:], "1 frame repeated"),
        ([*FRAMES[:9], FRAMES[10], FRAMES[9], *FRAMES[11:]], "1 frame out of order"),
    ],
)
def test_bad_echo_did_not_behave(frames: list[bytes], fault: str, *, expects_echo: bool) -> None:
    record = echoed_call(frames, expects_echo=expects_echo)
    # Whatever the order, all of it has been sent before it comes.
    record.arrivals = [(end, at + 1) for end, at in record.arrivals]
    report = report_of(record)
    assert report.faults == [fault]
    assert not report.behaved


def test_silence_is_no_echo_unless_one_is_expected() -> None:
    report = report_of(silent_call())
    assert report.behaved
    assert report.frames_lost is None
    assert report.round_trip_ms is None
    report = report_of(silent_call(expects_echo=True))
    assert report.faults == ["50 frames lost"]


def test_speech_of_its_own_is_no_echo() -> None:
    report = report_of(echoed_call([bytes([n]) * 160 for n in range(50)]))
    assert report.behaved
    assert report.frames_lost is None
    assert report.frames_heard == 50


def test_echo_with_a_greeting_behaves_unless_a_pure_echo_is_expected() -> None:
    greeting = [b"\x55" * 160] * 5
    record = echoed_call(greeting + FRAMES)
    record.arrivals = [(end, at + 1) for end, at in record.arrivals]
    assert report_of(record).behaved
    assert report_of(record).frames_unknown == 5
    strict = echoed_call(greeting + FRAMES, expects_echo=True)
    strict.arrivals = record.arrivals
    assert report_of(strict).faults == ["5 frames never sent but heard"]


def cleared_call(*, expects_echo: bool, provider: str = "twilio") -> CallRecord:
    """At 0.5 s, when 5 frames were on their way."""
    record = echoed_call(FRAMES[:21] + FRAMES[26:], expects_echo=expects_echo, provider=provider)
    record.arrivals = [(end, at + (0.1 if at > 0.42 else 0)) for end, at in record.arrivals]
    return record


@pytest.mark.parametrize("expects_echo", [True, False])
def test_what_is_on_its_way_at_a_clear_is_not_lost(*, expects_echo: bool) -> None:
    record = cleared_call(expects_echo=expects_echo)
    record.cleared_at.append(0.51)
    report = report_of(record)
    assert report.faults == []
    assert (report.frames_lost, report.frames_cut_off, report.clears) == (0, 5, 1)
    record.cleared_at.clear()
    assert report_of(record).faults == ["5 frames lost"]


@pytest.mark.parametrize("expects_echo", [True, False])
def test_what_is_on_its_way_when_the_agent_hangs_up_is_not_lost(*, expects_echo: bool) -> None:
    record = echoed_call(FRAMES[:40], expects_echo=expects_echo)
    assert report_of(record).faults == ["10 frames lost"]
    record.ending = Ending.HUNG_UP
    assert report_of(record).faults == []
    assert report_of(record).frames_cut_off == 10


def test_frame_that_was_overtaken_is_lost_though_the_agent_hung_up() -> None:
    record = echoed_call(FRAMES[:9] + FRAMES[10:40], expects_echo=True)
    record.arrivals = [(end, at + 0.02) for end, at in record.arrivals]
    record.ending = Ending.HUNG_UP
    assert report_of(record).faults == ["1 frame lost"]


def test_agent_that_happens_to_echo_may_lose_what_it_clears() -> None:
    record = echoed_call(FRAMES[:9] + FRAMES[10:])
    record.arrivals = [(end, at + 0.02) for end, at in record.arrivals]
    record.cleared_at.append(0.9)
    assert report_of(record).behaved
    assert report_of(record).frames_lost == 1


@pytest.mark.parametrize(("key", "lost"), [("*", 0), ("5", 5)])
def test_provider_that_is_not_told_of_a_clear_goes_by_its_key(key: str, lost: int) -> None:
    record = cleared_call(expects_echo=True, provider="sunvone")
    record.script = msgspec.structs.replace(record.script, digits=key)
    record.pressed_at = [0.5]
    assert report_of(record).frames_lost == lost


def test_marks_are_listed_with_their_ends() -> None:
    record = echoed_call()
    record.playout.mark("first", now=1.0)
    record.playout.play(FRAMES[0] * 500, len(FRAMES[0] * 500), now=1.0)
    record.playout.mark("second", now=1.0)
    record.playout.take_ended_marks(now=2.0)
    record.playout.clear(now=2.0)
    record.playout.play(FRAMES[0] * 500, len(FRAMES[0] * 500), now=2.0)
    record.playout.mark("third", now=2.0)
    report = report_of(record)
    assert report.marks == ["first", "second", "third"]
    assert report.mark_ends == ["played", "cleared", "pending"]
    assert (report.marks_received, report.marks_echoed) == (3, 2)


@pytest.mark.parametrize("expects_echo", [True, False])
def test_numbered_mark_that_comes_twice_from_an_echo_is_a_fault(*, expects_echo: bool) -> None:
    record = echoed_call(expects_echo=expects_echo)
    for name in ["echo-50", "dtmf-1", "echo-50", "dtmf-1", "echo-1x", "echo-1x"]:
        record.playout.mark(name, now=2.0)
    assert report_of(record).faults == ["mark 'echo-50' came more than once"]


def test_protocol_faults_are_counted_not_repeated() -> None:
    record = silent_call()
    record.faults["bad"] = 50
    record.faults["worse"] = 1
    assert report_of(record).faults == ["bad (50 times)", "worse"]


def test_faults_are_capped() -> None:
    record = silent_call()
    record.faults.update(f"fault {number}" for number in range(MAX_FAULTS + 5))
    faults = report_of(record).faults
    assert len(faults) == MAX_FAULTS + 1
    assert faults[-1] == "and 5 other faults"


def test_gaps_are_reported_but_are_no_fault() -> None:
    record = silent_call()
    record.playout.play(FRAMES[0], len(FRAMES[0]), now=1.0)
    record.playout.play(FRAMES[1], len(FRAMES[1]), now=1.1)
    report = report_of(record)
    assert report.gaps == 1
    assert report.gap_longest_ms == pytest.approx(80)
    assert report.behaved


def test_total_sums_what_is_known() -> None:
    total = report_on([echoed_call(), silent_call(), echoed_call(FRAMES[:40])]).total
    assert (total.calls, total.calls_behaved, total.behaved) == (3, 2, False)
    assert (total.frames_sent, total.frames_heard, total.frames_lost) == (150, 90, 10)
    assert total.round_trip_ms is not None


def test_total_of_no_echo_at_all_is_unknown() -> None:
    total = report_on([silent_call()]).total
    assert total.frames_lost is None
    assert total.round_trip_ms is None


def test_percentiles_are_values_that_occurred() -> None:
    record = echoed_call()
    record.arrivals = [
        (end, record.sent_at[number] + (number + 1) / 1000)
        for number, (end, _) in enumerate(record.arrivals)
    ]
    assert report_of(record).round_trip_ms == RoundTrip(p50=25, p95=48, p99=50, max=50)


def test_json_keys_carry_their_units() -> None:
    document = msgspec.json.decode(msgspec.json.encode(report_on([echoed_call()])))
    assert set(document) == {"calls", "total"}
    keys = (
        "frames_sent frames_heard frames_lost frames_repeated frames_out_of_order round_trip_ms "
        "gaps gap_longest_ms marks_received marks_echoed close_code faults heard_bytes "
        "sent_sha256 heard_sha256 behaved marks provider"
    )
    assert set(keys.split()) <= set(document["calls"][0])
    assert set(document["total"]["round_trip_ms"]) == {"p50", "p95", "p99", "max"}
