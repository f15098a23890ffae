from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from workers.tally import Tally, TallyByLabel

BUCKETS = (0.002, 0.5, 1, 5)


def shown(registry: CollectorRegistry) -> list[str]:
    """What Prometheus is told, but for when a series began."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@pytest.mark.parametrize("observed", [[], [0.0, 0.002, 0.0021, 0.5, 3.0, 5.0, 7.0]])
def test_a_tally_shows_what_a_histogram_shows(observed: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("lag_seconds", "Lag", buckets=BUCKETS, registry=ours)
    histogram = Histogram("lag_seconds", "Lag", buckets=BUCKETS, registry=theirs)
    for value in observed:
        tally.observe(value)
        histogram.observe(value)
    assert shown(ours) == shown(theirs)


def test_a_tally_by_label_shows_what_a_counter_shows() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyByLabel("commits", "Commits", "answer", registry=ours)
    counter = Counter("commits", "Commits", ["answer"], registry=theirs)
    for answer in ("COMMITTED", "FENCED", "COMMITTED"):
        tally.inc(answer)
        counter.labels(answer).inc()
    assert shown(ours) == shown(theirs)
