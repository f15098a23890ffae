"""Log lines about what strangers may cause as often as they like: a flood of it is none of lines.

Rule 1: one line in `every_s` seconds for each sentence and reason, with how many times it was
        since the line before.
Rule 2: reasons are a few fixed words. What was sent is never part of a line.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

__all__ = ["Seldom"]

_EVERY_S = 10.0


class Seldom:
    def __init__(
        self,
        logger: logging.Logger,
        *,
        every_s: float = _EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._every_s = every_s
        self._clock = clock
        self._told_at: dict[tuple[str, str], float] = {}
        self._untold: Counter[tuple[str, str]] = Counter()

    def info(self, sentence: str, reason: str, *, times: int = 1, **facts: object) -> None:
        kind = (sentence, reason)
        self._untold[kind] += times
        now = self._clock()
        told_at = self._told_at.get(kind)
        if told_at is None or now - told_at >= self._every_s:
            self._told_at[kind] = now
            told = {"reason": reason, "times": self._untold.pop(kind), **facts}
            self._logger.info(sentence, extra=told)
