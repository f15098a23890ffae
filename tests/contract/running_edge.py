"""An edge, and a peer that may write to it what it likes."""

from __future__ import annotations

import asyncio
import os
import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from redis.asyncio import Redis

from edge.configuration import configure
from tests.edge.served import served

__all__ = [
    "BINARY",
    "CONTINUATION",
    "TEXT",
    "Peer",
    "RunningEdge",
    "keys_of_calls",
    "running_edge",
]

CONTINUATION, TEXT, BINARY, CLOSE = 0, 1, 2, 8


class RunningEdge(NamedTuple):
    port: int

    @asynccontextmanager
    async def peer(self, path: str) -> AsyncIterator[Peer]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            key = b64encode(os.urandom(16)).decode()
            head = (
                f"GET {path} HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
            )
            writer.write(head.encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            yield Peer(reader, writer, answer.decode())
        finally:
            writer.close()

    async def get(self, path: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = f"GET {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        answer = await reader.read()
        writer.close()
        return answer.decode()


class Peer:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.answer = answer

    def say(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.frame(TEXT, message.encode())
        else:
            self.frame(BINARY, message)

    def frame(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        is_final: bool = True,
        is_compressed: bool = False,
        declared: int | None = None,
    ) -> None:
        """A frame of any shape; `declared` is the length that it claims to have. The mask is 0."""
        size = len(payload) if declared is None else declared
        head = bytes([opcode | is_final << 7 | is_compressed << 6])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += b"\xfe" + struct.pack(">H", size)
        else:
            head += b"\xff" + struct.pack(">Q", size)
        self._writer.write(head + bytes(4) + payload)

    def drip(self) -> None:
        """One byte of a frame's payload."""
        self._writer.write(b" ")

    async def next_frame(self) -> tuple[int, bytes]:
        """Opcode and payload; the edge's frames are short, whole and not masked."""
        first, size = await self._reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack(">H", await self._reader.readexactly(2))
        return first & 0x0F, await self._reader.readexactly(size)

    async def close_code(self) -> int:
        """With which code the edge closes, whatever it says before."""
        async with asyncio.timeout(30):
            while True:
                opcode, payload = await self.next_frame()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2])

    async def rest(self) -> bytes:
        """What comes until the edge closes the connection; raises where it resets it."""
        async with asyncio.timeout(30):
            return await self._reader.read()


@asynccontextmanager
async def running_edge(redis_url: str, **settings: str) -> AsyncIterator[RunningEdge]:
    environ = {
        "REDIS_URL": redis_url,
        "TRUNKLINE_TAKE_TIMEOUT_S": "3",
        **{f"TRUNKLINE_{name.upper()}": value for name, value in settings.items()},
    }
    async with served(*configure(environ)) as (edge, lanes, port):
        yield RunningEdge(port)
        await edge.drain(0)
        await lanes.flushed()


async def keys_of_calls(redis: Redis) -> list[str]:
    """What is left of calls in Redis."""
    keys = [_text(key) for key in await redis.keys("*}:*:*")]
    return keys + ["calls"] * await redis.xlen("{trunkline:0}:calls")


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key
