"""The sending half of a provider's socket: knows when the peer does not take what it is sent."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from aiohttp import web

from edge.adapter import Message
from edge.metrics import ForProvider

__all__ = ["Outlet"]

_CLOSE_TIMEOUT_S = 2.5  # aiohttp itself waits for the peer's answer, but not for room to write


class Outlet:
    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._sending_since: float | None = None
        self._cleared_at: float | None = None

    def clear_arrived(self) -> None:
        """From now on it counts how long the caller is kept from silence."""
        self._cleared_at = time.monotonic()

    async def send(self, messages: list[Message], metrics: ForProvider) -> None:
        """Returns when the messages are written, which may be never: see `stuck_s`. Raises
        ConnectionError when the socket is gone."""
        self._sending_since = time.monotonic()
        for message in messages:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        self._sending_since = None
        metrics.messages_out.inc(len(messages))
        if self._cleared_at is not None:
            metrics.clear_to_silence_s.observe(time.monotonic() - self._cleared_at)
            self._cleared_at = None

    def stuck_s(self, *, now: float) -> float:
        """How long the peer has left no room for what is to be sent; `now` is monotonic."""
        return 0.0 if self._sending_since is None else now - self._sending_since

    async def close(self, code: int, reason: str) -> None:
        """Nobody may read the socket meanwhile: aiohttp waits for the peer's close frame only
        then, and without that wait the peer may see a reset instead of our code."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason.encode())
