from __future__ import annotations

from prometheus_client import REGISTRY

from common.events import EndReason
from edge.metrics import ForProvider
from tests.edge.calls import counted


def test_each_provider_has_series_of_its_own() -> None:
    one, other = ForProvider("one"), ForProvider("other")
    one.calls_started.inc()
    one.ignored("malformed", 3)
    other.ignored("malformed")
    assert counted("trunkline_edge_calls_started_total", provider="one") == 1
    assert counted("trunkline_edge_ignored_total", provider="one", reason="malformed") == 3
    assert counted("trunkline_edge_ignored_total", provider="other", reason="malformed") == 1


def test_call_that_ended_is_on_no_more() -> None:
    series = ForProvider("ending")
    series.calls.inc()
    series.call_ended("not_taken")
    assert counted("trunkline_edge_calls", provider="ending") == 0
    ended = {"provider": "ending", "reason": "not_taken"}
    assert counted("trunkline_edge_calls_ended_total", **ended) == 1


def test_every_end_is_counted_from_zero_on() -> None:
    ForProvider("fresh")
    for reason in EndReason:
        ended = {"provider": "fresh", "reason": reason}
        assert REGISTRY.get_sample_value("trunkline_edge_calls_ended_total", ended) == 0


def test_marks_are_counted_by_how_they_ended() -> None:
    ForProvider("marking").mark_ended("cleared")
    assert counted("trunkline_edge_marks_total", provider="marking", outcome="cleared") == 1
