"""How long the machine lets the processes of a run wait for a processor: a thread that asks the
kernel all the time.

Where each of those that a frame passes is late, the frame is late by all of it: so what is promised
of a gap is widened by the worst quarter of a second, of all processes together.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from tests.waiting import waited_s

__all__ = ["Strain"]

_SAMPLE_S = 0.05
_SAMPLES = 5


class Strain:
    """`pids`: those that take part now."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._waited: dict[int, float] = {}
        self._recent: deque[float] = deque(maxlen=_SAMPLES)
        self._worst_s = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="strain", daemon=True)
        self._thread.start()

    @property
    def worst_ms(self) -> float:
        """Since it was begun last."""
        return self._worst_s * 1000

    def begin(self) -> None:
        self._recent.clear()
        self._worst_s = 0.0

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(_SAMPLE_S):
            waited = {pid: waited_s(pid) for pid in self._pids()}
            grown = (now - self._waited.get(pid, now) for pid, now in waited.items())
            self._recent.append(sum(max(0.0, each) for each in grown))
            self._waited = waited
            self._worst_s = max(self._worst_s, sum(self._recent))
