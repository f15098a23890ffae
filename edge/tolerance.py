"""How much nonsense a peer may send before its socket is closed; sans-IO.

A bad message is ignored and counted; a stream of them is a broken or hostile peer.
"""

from __future__ import annotations

from collections import deque

__all__ = ["LIMITS", "WINDOW_S", "Tolerance"]

WINDOW_S = 10.0

#: So many messages of a kind within the window are too many.
LIMITS = {"malformed": 5, "unknown_mark": 100, "out_of_range": 100}


class Tolerance:
    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {
            reason: deque(maxlen=limit) for reason, limit in LIMITS.items()
        }

    def is_exhausted_by(self, reason: str, *, now: float) -> bool:
        """Note one more message of a kind; whether it was one too many."""
        times = self._times.get(reason)
        if times is None:
            return False
        times.append(now)
        return len(times) == times.maxlen and now - times[0] <= WINDOW_S
