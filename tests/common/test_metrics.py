from __future__ import annotations

from prometheus_client import generate_latest

from common import metrics


def test_series_carry_the_name_of_the_project() -> None:
    described = [s for name in metrics.__all__ for s in getattr(metrics, name).describe()]
    assert len(described) == len(metrics.__all__)
    assert all(series.name.startswith("trunkline_") for series in described)
    assert all(series.documentation for series in described)


def test_series_can_be_scraped() -> None:
    metrics.REDIS_FAULTS.labels("write").inc(0)
    assert b'trunkline_redis_faults_total{link="write"}' in generate_latest()
