"""The sending half of a provider's socket: knows when the peer does not take what it is sent.

Rule 1: what the peer does not take waits in the pacer, where it can be cleared and dropped, not in
        buffers on the way. Untuned, they swallow minutes of audio before anything is noticed.
Rule 2: a peer's own buffers are out of our hands, so it is asked whether it reads: a ping behind
        the audio. Its answer counts from the first one on, as not everybody gives any.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress

from aiohttp import web

from edge.adapter import Message
from edge.metrics import ForProvider

__all__ = ["WRITER_LIMIT_BYTES", "Outlet", "keep_short"]

#: So much may be written before it is looked whether there is room for more.
WRITER_LIMIT_BYTES = 4096

_CLOSE_TIMEOUT_S = 2.5  # aiohttp itself waits for the peer's answer, but not for room to write
_PING_EVERY_S = 1.0
_READ_AWAY_BYTES = 4_194_304
_CHUNK_BYTES = 65_536
_QUIET_S = 0.2
_BUFFER_BYTES = 4096
_NOT_SENT_BYTES = 8192
#: A peer whose kernel has acknowledged nothing for so long is gone, and so is what it was sent.
_UNACKNOWLEDGED_MS = 20_000


def keep_short(transport: asyncio.Transport) -> None:
    """Keep little in the buffers of a TCP connection."""
    transport.set_write_buffer_limits(high=_BUFFER_BYTES)
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        for option, value in _TCP_OPTIONS:
            peer.setsockopt(socket.IPPROTO_TCP, option, value)


def _tcp_options() -> list[tuple[int, int]]:
    """Those that this operating system has."""
    wanted = {"TCP_NOTSENT_LOWAT": _NOT_SENT_BYTES, "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MS}
    return [
        (getattr(socket, name), value) for name, value in wanted.items() if hasattr(socket, name)
    ]


_TCP_OPTIONS = _tcp_options()


class Outlet:
    def __init__(self, peer: web.WebSocketResponse) -> None:
        self._peer = peer
        self._sending_since: float | None = None
        self._pinged_at: float | None = None
        self._next_ping_at = 0.0
        self._answers_pings = False
        self._cleared_at: float | None = None
        self._held: socket.socket | None = None

    def clear_arrived(self) -> None:
        """From now on it counts how long the caller is kept from silence."""
        self._cleared_at = time.monotonic()

    async def send(self, messages: list[Message], metrics: ForProvider) -> float:
        """Returns when the messages are written, and how many seconds there was no room for them,
        which may last for ever: see `stuck_s`. Raises ConnectionError when the socket is gone."""
        began = time.monotonic()
        self._sending_since = began
        for message in messages:
            if isinstance(message, str):
                await self._peer.send_str(message)
            else:
                await self._peer.send_bytes(message)
        if self._pinged_at is None and began >= self._next_ping_at:
            self._pinged_at = began
            self._next_ping_at = began + _PING_EVERY_S
            await self._peer.ping()
        self._sending_since = None
        metrics.messages_out.inc(len(messages))
        now = time.monotonic()
        if self._cleared_at is not None:
            metrics.clear_to_silence_s.observe(now - self._cleared_at)
            self._cleared_at = None
        return now - began

    def pong_arrived(self) -> None:
        """The peer has read everything up to our last ping."""
        self._answers_pings = True
        self._pinged_at = None

    def stuck_s(self, *, now: float) -> float:
        """For how long the peer has not taken what is, or is to be, sent; `now` is monotonic."""
        pinged_at = self._pinged_at if self._answers_pings else None
        waiting = [since for since in (self._sending_since, pinged_at) if since is not None]
        return now - min(waiting) if waiting else 0.0

    async def close(self, code: int, reason: str) -> None:
        """Nobody may read the socket meanwhile: aiohttp waits for the peer's close frame only
        then, and without that wait the peer may see a reset instead of our code."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await self._peer.close(code=code, message=reason.encode())
                    if self._held is not None:
                        await _read_away(self._held)
        finally:
            if self._held is not None:
                self._held.close()

    def hold_open(self) -> None:
        """To be called in the very turn of the loop in which aiohttp tells of a frame that is none:
        it has sent the close frame and closes the connection in the next. What the peer is still
        sending would be answered with a reset, and who meets one while sending does not look for
        a close code. So the connection stays until `close`."""
        connection = self._peer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            with suppress(OSError):  # no descriptor to be had: then let there be a reset
                self._held = connection.dup()


async def _read_away(connection: socket.socket) -> None:
    """Until the peer has closed its side, or has sent enough of what nobody wants."""
    loop = asyncio.get_running_loop()
    left = _READ_AWAY_BYTES
    with suppress(OSError):
        while left > 0:
            try:
                async with asyncio.timeout(_QUIET_S):
                    data = await loop.sock_recv(connection, _CHUNK_BYTES)
            except TimeoutError:
                # It has said all, and may be waiting for our end. Told before, some peers would
                # break off in the middle of their sending and not come to our close frame.
                connection.shutdown(socket.SHUT_WR)
                continue
            if not data:
                return
            left -= len(data)
