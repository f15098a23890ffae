"""Series that edges and workers share; each side's own stand in its own `metrics.py`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

__all__ = ["BATCH_REQUESTS", "REDIS_FAULTS", "TASKS"]

REDIS_FAULTS = Counter(
    "trunkline_redis_faults", "Requests to Redis that failed or were refused", ["link"]
)
BATCH_REQUESTS = Histogram(
    "trunkline_redis_batch_requests",
    "Requests per write to Redis",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
TASKS = Gauge("trunkline_tasks", "asyncio tasks of the process")
