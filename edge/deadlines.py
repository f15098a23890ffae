"""When to come back: deadlines, in monotonic seconds, that may be missing."""

from __future__ import annotations

__all__ = ["sooner"]


def sooner(one: float | None, other: float | None) -> float | None:
    """The earlier of two; None when there is neither."""
    if one is None:
        return other
    return one if other is None or one < other else other
