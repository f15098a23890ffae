from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from ops.phone.wall_clock import iso, utc_now


def test_time_is_told_in_utc() -> None:
    at = datetime(2026, 1, 15, 12, 30, 0, 60_000, tzinfo=timezone(timedelta(hours=2)))
    assert iso(at, "seconds") == "2026-01-15T10:30:00Z"
    assert iso(at, "milliseconds") == "2026-01-15T10:30:00.060Z"
    assert iso(at, "microseconds") == "2026-01-15T10:30:00.060000Z"


def test_now_knows_its_zone() -> None:
    assert utc_now().tzinfo is UTC
