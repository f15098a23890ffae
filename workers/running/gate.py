"""Whether handlers may begin: not while the worker's lease is in doubt, nor once it hands over.

A worker whose lease may have run out may have been replaced. What it commits is refused then; what
its agents do elsewhere (a booking, a payment) nobody can refuse, so they had better not begin.
"""

from __future__ import annotations

import asyncio

__all__ = ["Gate"]


class Gate:
    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._opened.set()
        self._is_shut = False

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def close(self) -> None:
        self._opened.clear()

    def open(self) -> None:
        if not self._is_shut:
            self._opened.set()

    def shut(self) -> None:
        """Close it for good."""
        self._is_shut = True
        self._opened.clear()

    async def passed(self) -> None:
        await self._opened.wait()
