"""A TCP proxy in front of a real Redis that fails on request: the faults of a network, at will.

    async with ChaosProxy.in_front_of(redis_url) as proxy:
        link = Link(proxy.url, timeout_s=0.5)
        lost = proxy.drop_next_reply(to=b"EVALSHA")
        ...
        await lost.wait()

Rule 1: as long as nothing was asked for, every byte passes, in order.
Rule 2: a fault is asked for by a plain call and has begun when the call returns.
Rule 3: bytes are held or lost as TCP would: a byte that is lost takes its connection with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.ports import HOST, free_port

__all__ = ["ChaosProxy"]

_CHUNK_BYTES = 65_536


class _Drop(NamedTuple):
    """The reply to the first request that contains `to` gets lost; `happened` tells when."""

    to: bytes
    happened: asyncio.Event


class ChaosProxy:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[_Connection] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._drop: _Drop | None = None
        #: Connections that clients have made so far.
        self.connections = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def in_front_of(cls, redis_url: str) -> AsyncIterator[ChaosProxy]:
        """`redis_url` is redis:// or unix://; TLS cannot be looked into."""
        proxy = cls(redis_url)
        await proxy.come_back()
        try:
            yield proxy
        finally:
            await proxy.go_away()

    @property
    def url(self) -> str:
        """The way through the proxy to the same database of the same server."""
        upstream = urlsplit(self._upstream)
        user, at, _ = upstream.netloc.rpartition("@")
        if upstream.scheme == "unix":
            database = parse_qs(upstream.query).get("db", ["0"])[0]
        else:
            database = upstream.path.strip("/") or "0"
        return f"redis://{user}{at}127.0.0.1:{self._port}/{database}"

    def drop_next_reply(self, to: bytes = b"") -> asyncio.Event:
        """Redis carries out the next request that contains `to`, but its client never learns so:
        the reply is lost and the connection broken. The event tells when that has happened."""
        self._drop = _Drop(to, asyncio.Event())
        return self._drop.happened

    def stall(self) -> None:
        """Hold every byte, both ways, until `resume`; connections stay open."""
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """Break all connections; new ones are welcome."""
        for connection in list(self._open):
            connection.cut()

    async def go_away(self) -> None:
        """Break all connections and refuse new ones, until `come_back`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        connections = list(self._open)
        self.cut()
        await asyncio.gather(*(connection.ended.wait() for connection in connections))

    async def come_back(self) -> None:
        """Listen, on the same port as before."""
        self._port = self._port or free_port()  # one that nobody takes while we are away
        self._server = await asyncio.start_server(self._serve, HOST, self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(self, _End(reader, writer))
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)

    async def open_upstream(self) -> _End:
        upstream = urlsplit(self._upstream)
        if upstream.scheme == "unix":
            return _End(*await asyncio.open_unix_connection(upstream.path))
        return _End(*await asyncio.open_connection(upstream.hostname, upstream.port or 6379))

    async def flows(self) -> None:
        await self._flows.wait()

    def drop_for(self, request: bytes) -> asyncio.Event | None:
        """Whether the reply to `request` is the one to be lost; asked once for each chunk."""
        drop = self._drop
        if drop is None or drop.to not in request:
            return None
        self._drop = None
        return drop.happened


class _End(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Connection:
    """A client's connection and ours to Redis, tied together: they end together."""

    def __init__(self, proxy: ChaosProxy, client: _End) -> None:
        self._proxy = proxy
        self._client = client
        self._dropping: asyncio.Event | None = None
        self._is_cut = asyncio.Event()
        self.ended = asyncio.Event()

    def cut(self) -> None:
        self._is_cut.set()

    async def run(self) -> None:
        ends = [self._client]
        try:
            with contextlib.suppress(OSError):
                ends.append(await self._proxy.open_upstream())
                await self._pump(*ends)
        finally:
            for _, writer in ends:
                writer.transport.abort()
            self.ended.set()

    async def _pump(self, client: _End, redis: _End) -> None:
        """Returns once one side has closed, or the connection was cut."""
        halves = {
            asyncio.create_task(self._requests(client.reader, redis.writer)),
            asyncio.create_task(self._replies(redis.reader, client.writer)),
            asyncio.create_task(self._cut()),
        }
        try:
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)

    async def _cut(self) -> None:
        await self._is_cut.wait()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._proxy.flows()
            self._dropping = self._dropping or self._proxy.drop_for(chunk)
            writer.write(chunk)
            await writer.drain()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            if self._dropping is not None:
                self._dropping.set()
                return
            await self._proxy.flows()
            writer.write(chunk)
            await writer.drain()
