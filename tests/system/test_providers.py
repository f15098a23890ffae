"""All providers at once against one edge and two workers, through their own doors and the one for
all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.providers import providers
from ops.phone import speech, wav
from ops.phone.dialects import known_dialects
from tests.system.processes import SPEECH, Phone, System, running

MARKLESS = {"sunvone"}
SAID = ["--play", str(SPEECH), "--seconds", "2.2", "--expect", "echo"]


@pytest.fixture(scope="module")
def exchange(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(redis_server_url, tmp_path_factory.mktemp("exchange")) as system:
        yield system.start(workers=2)


def check(phone: Phone, recording: Path) -> None:
    """Every caller heard what it said, and every mark was accounted for."""
    report = phone.report()
    assert {call.provider for call in report.calls} == set(providers())
    for call in report.calls:
        dialect = known_dialects()[call.provider]
        chunks = speech.from_wav(SPEECH, dialect.format, chunk_ms=dialect.chunk_ms, seconds=2.2)
        heard = recording.with_stem(f"{recording.stem}-{call.provider}")
        assert wav.read(heard, dialect.format) == b"".join(chunks)
        assert call.sent_sha256 == call.heard_sha256
        marks = 0 if call.provider in MARKLESS else 2
        assert (call.marks_received, call.marks_echoed) == (marks, marks)


@pytest.mark.parametrize("path", ["/media/", "/"])
def test_every_provider_hears_back_what_it_said(
    exchange: System, tmp_path: Path, path: str
) -> None:
    recording = tmp_path / "heard.wav"
    url = f"ws://{exchange.host}{path}"
    check(Phone("all", "--url", url, *SAID, "--record", str(recording)), recording)
    exchange.wait_until_no_call_is_left()
    assert exchange.complaints() == []


def test_shuffled_and_doubled_frames_reach_the_agent_in_order(exchange: System) -> None:
    call = exchange.phone("telnyx", *SAID, "--shuffle").call()
    assert call.sent_sha256 == call.heard_sha256
    assert exchange.edge.metric("trunkline_edge_ignored_total", reason="duplicate") > 0


def test_keys_mean_the_same_wherever_there_are_keys(exchange: System) -> None:
    url = f"ws://{exchange.host}/media/"
    report = Phone("all", "--url", url, "--seconds", "2.5", "--dtmf", "5*0").report()
    for call in report.calls:
        has_keys = known_dialects()[call.provider].has_dtmf
        assert (call.ending == "hung up by the agent") == has_keys, call
        assert call.close_code == 1000
