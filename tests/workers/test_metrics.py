from __future__ import annotations

from prometheus_client import REGISTRY

from workers import metrics


def test_every_series_bears_the_worker_s_name() -> None:
    for name in metrics.__all__:
        (family,) = getattr(metrics, name).collect()
        assert family.name.startswith("trunkline_worker_")
        assert family.documentation


def test_lag_is_in_seconds_and_resolves_the_goal() -> None:
    (family,) = metrics.LAG.collect()
    assert family.name.endswith("_seconds")
    bounds = {float(s.labels["le"]) for s in family.samples if s.name.endswith("_bucket")}
    assert {0.01, 0.02, 0.05} <= bounds


def test_the_series_are_exported() -> None:
    assert REGISTRY.get_sample_value("trunkline_worker_calls") is not None
