"""The time of day, as the providers that tell it write it: ISO 8601 in UTC, ending in Z."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TypeAlias

__all__ = ["Clock", "iso", "utc_now"]

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def iso(at: datetime, timespec: Literal["seconds", "milliseconds", "microseconds"]) -> str:
    return at.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
