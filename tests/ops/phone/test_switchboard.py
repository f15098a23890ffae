from __future__ import annotations

import io

import pytest

from common.errors import UsageError
from ops.phone import line as line_module
from ops.phone import speech, switchboard
from ops.phone.dialects import known_dialects
from ops.phone.line import Ending, Script
from ops.phone.report import report_on
from ops.phone.switchboard import Placement, place
from tests.ops.phone.echo_edge import serving

TWILIO = known_dialects()["twilio"]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "QUIET_S", 0.5)


def placement(url: str, *, seconds: float = 0.1) -> Placement:
    frames = speech.tune(TWILIO.format, chunk_ms=20, seconds=seconds)
    return Placement(TWILIO, Script(frames, expects_echo=True), url)


async def test_many_calls_at_once_all_behave() -> None:
    with serving() as edge:
        url = edge.url.replace("PROVIDER", "twilio")
        session = await place([placement(url, seconds=1.0)] * 20)
    report = report_on(session.records)
    assert report.total.calls_behaved == 20
    assert report.total.frames_heard == 20 * 50
    assert session.signal is None
    assert len({each.stream_sid for each in edge.conversations}) == 20


async def test_deadlines_hold_over_a_whole_call() -> None:
    with serving() as edge:
        session = await place([placement(edge.url, seconds=1.0)])
    sent_at = session.records[0].sent_at
    # However late single wake-ups were on a busy machine, the call as a whole has not drifted.
    assert min(at - sent_at[0] - number * 0.02 for number, at in enumerate(sent_at)) > -0.02
    assert sorted(sent_at) == sent_at


async def test_one_refused_call_among_others_is_reported() -> None:
    with serving() as edge:
        refused = f"ws://127.0.0.1:{edge.port}/status/503"
        session = await place([placement(edge.url), placement(refused)])
    assert [record.ending for record in session.records] == [
        Ending.COMPLETED,
        Ending.NOT_PLACED,
    ]
    report = report_on(session.records)
    assert report.total.calls_behaved == 1
    assert "HTTP 503" in report.calls[1].faults[0]


async def test_when_all_are_refused_each_reason_is_told_once() -> None:
    with serving() as edge:
        urls = [f"ws://127.0.0.1:{edge.port}/status/{status}" for status in (404, 404, 503)]
        with pytest.raises(UsageError) as raised:
            await place([placement(url) for url in urls])
    reasons = str(raised.value).split("; ")
    assert len(reasons) == 2
    assert "HTTP 404" in reasons[0]
    assert "HTTP 503" in reasons[1]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_progress_is_drawn_on_a_terminal_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "REDRAW_S", 0.05)
    monkeypatch.setattr("sys.stderr", terminal := _Terminal())
    with serving() as edge:
        await place([placement(edge.url, seconds=0.3)])
    drawn = terminal.getvalue().split("\r")
    assert any(line.startswith("1 call · 0.") and "sent" in line for line in drawn)
    assert drawn[-1] == "\x1b[K"
