"""Whether Redis still has the calls that an edge holds, as requests to Redis; no I/O.

Every request may be repeated after a lost reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.bus import Request
from common.keys import TTL_S, CallKeys

__all__ = ["how_many_exist", "is_any_lost", "keep"]


def how_many_exist(calls: Sequence[CallKeys]) -> Request:
    """Answers how many keys of these calls there are; see `is_any_lost`."""
    return (b"EXISTS", *(key for keys in calls for key in (keys.call, keys.events)))


def is_any_lost(found: Any, calls: Sequence[CallKeys]) -> bool:
    """Whether Redis lacks a hash or a stream of events: each call has one of both."""
    return isinstance(found, int) and found < 2 * len(calls)


def keep(keys: CallKeys) -> list[Request]:
    """The call lives, though perhaps nobody commits: its keys are not to vanish."""
    return [(b"EXPIRE", key, TTL_S) for key in (keys.call, keys.events, keys.commands)]
