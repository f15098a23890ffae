"""Calls to an edge and an echoing worker, both real processes.

`TRUNKLINE_TEST_CALL_S` is how long the many calls last; the suite's own time keeps it short.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.audio import AudioFormat
from ops.phone import speech, wav
from tests.system.processes import SPEECH, System, wait_until

CALL_S = os.environ.get("TRUNKLINE_TEST_CALL_S", "6")
PROVIDERS = ["twilio", "mesmer"]
PCMU = AudioFormat.pcmu()

#: The edge looks at its tasks four times a second.
WATCH_S = 0.6


@pytest.fixture(autouse=True)
def nobody_complains(echo: System) -> Iterator[None]:
    before = echo.complaints()
    yield
    assert echo.complaints() == before


def footprint(system: System) -> list[float]:
    """What the processes hold, and hold no more when their calls are over: tasks, open files."""
    processes = (system.edge, system.worker)
    return [
        *(process.open_files() for process in processes),
        *(process.metric("trunkline_tasks") for process in processes),
    ]


def resting_footprint(system: System) -> list[float]:
    """The least that is seen for a while: asking for metrics takes a file and a task as well."""
    system.wait_until_live(0)
    until = time.monotonic() + WATCH_S
    least = footprint(system)
    while time.monotonic() < until:
        least = [min(pair) for pair in zip(least, footprint(system), strict=True)]
    return least


def is_within(held: list[float], before: list[float]) -> bool:
    return all(now <= then for now, then in zip(held, before, strict=True))


def test_what_is_said_is_heard_back_byte_for_byte(echo: System, tmp_path: Path) -> None:
    recordings = {provider: tmp_path / f"{provider}.wav" for provider in PROVIDERS}
    arguments = ["--play", str(SPEECH), "--seconds", "2.2", "--expect", "echo"]
    phones = {
        provider: echo.phone(provider, *arguments, "--record", str(path))
        for provider, path in recordings.items()
    }
    said = b"".join(speech.from_wav(SPEECH, PCMU, chunk_ms=20, seconds=2.2))
    marks = echo.edge.metric("trunkline_edge_marks_total", outcome="played")
    for provider, phone in phones.items():
        call = phone.call()
        assert call.behaved
        assert wav.read(recordings[provider], PCMU) == said
        assert call.sent_sha256 == call.heard_sha256
        assert (call.marks, call.mark_ends) == (["echo-50", "echo-100"], ["played"] * 2)
        assert call.marks_echoed == 2
        assert (call.ending, call.close_code) == ("completed", 1000)
    # Every mark that came back ended once, as played.
    played = 2 * len(PROVIDERS)
    wait_until(
        lambda: echo.edge.metric("trunkline_edge_marks_total", outcome="played") == marks + played
    )
    echo.wait_until_no_call_is_left()


def test_many_calls_at_once_lose_nothing_and_leave_nothing(echo: System) -> None:
    calls_each, before = 10, resting_footprint(echo)
    calls = calls_each * len(PROVIDERS)
    phone = echo.phone(
        ",".join(PROVIDERS), "--calls", str(calls_each), "--seconds", CALL_S, "--expect", "echo"
    )
    echo.wait_until_live(calls)
    total = phone.report(within_s=float(CALL_S) + 60).total
    assert (total.calls, total.calls_behaved) == (calls, calls)
    assert total.frames_heard == total.frames_sent == calls * float(CALL_S) * 50
    assert (total.frames_lost, total.frames_repeated) == (0, 0)
    assert (total.frames_out_of_order, total.frames_unknown) == (0, 0)
    echo.wait_until_no_call_is_left()
    wait_until(lambda: is_within(footprint(echo), before))
    assert echo.live_calls() == echo.worker.metric("trunkline_worker_calls") == 0
    print(f"round trip of {calls} calls, ms: {total.round_trip_ms}")


def test_keys(echo: System) -> None:
    clears = echo.phone("twilio", "--seconds", "1.5", "--dtmf", "1*2#")
    hangs_up = echo.phone("twilio", "--seconds", "5", "--dtmf", "0")

    call = hangs_up.call()
    assert (call.ending, call.close_code) == ("hung up by the agent", 1000)
    assert call.frames_sent < 5 * 50

    call = clears.call()
    assert call.clears == 1
    # Digits and audio come in one order, whatever the clear took away.
    marks = [mark for mark in call.marks if mark.startswith("dtmf")]
    # On a busy machine the clear may come so soon that the mark before it never leaves.
    assert marks in (["dtmf-1", "dtmf-2", "dtmf-#"], ["dtmf-2", "dtmf-#"])
    assert call.marks_echoed == call.marks_received
    assert call.close_code == 1000
    echo.wait_until_no_call_is_left()
