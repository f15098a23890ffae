"""Wait for a condition, with a deadline; never for a length of time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["until"]


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], *, timeout: float = 5.0
) -> None:
    """Returns once `condition()` holds; TimeoutError when it does not come about."""
    async with asyncio.timeout(timeout):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.002)
