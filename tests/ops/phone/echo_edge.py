"""A far end for the phone: a real WebSocket server that echoes, well-behaved or with one vice.

It runs on a thread with a loop of its own, because `command.run` is synchronous and brings a loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import WSMsgType, web

__all__ = ["Conversation", "EchoEdge", "serving"]

Message = dict[str, Any]


class Conversation:
    """One call, seen from the far end. A vice overrides what it needs."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.heard: list[Message] = []
        self.frames = 0

    async def receive(self, message: Message) -> None:
        self.heard.append(message)
        if message["event"] == "media":
            self.frames += 1
            await self.on_frame(self.frames, message["media"]["payload"])

    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number % 10 == 0:
            await self.send(event="mark", mark={"name": f"echo-{number}"})

    async def play(self, payload: str) -> None:
        await self.send(event="media", media={"payload": payload})

    async def send(self, **fields: object) -> None:
        await self.socket.send_str(json.dumps({"streamSid": self.stream_sid} | fields))

    @property
    def stream_sid(self) -> str:
        start = next(message["start"] for message in self.heard if message["event"] == "start")
        return str(start["streamSid"])

    def said(self, event: str) -> list[Message]:
        return [message for message in self.heard if message["event"] == event]


class EchoEdge:
    def __init__(self, conversation: Callable[[web.WebSocketResponse], Conversation]) -> None:
        self.conversations: list[Conversation] = []
        self.close_codes: list[int | None] = []
        self.port = 0
        self._make = conversation

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/media/PROVIDER"

    def wait_until(self, condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the far end waited in vain"
            time.sleep(0.005)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/status/"):
            return web.Response(status=int(request.match_info["status"]))
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        conversation = self._make(socket)
        self.conversations.append(conversation)
        async for message in socket:
            if message.type is WSMsgType.TEXT and not socket.closed:
                with contextlib.suppress(ConnectionError):  # a vice may have hung up
                    await conversation.receive(json.loads(message.data))
        self.close_codes.append(socket.close_code)
        return socket


@contextlib.contextmanager
def serving(
    conversation: Callable[[web.WebSocketResponse], Conversation] = Conversation,
) -> Iterator[EchoEdge]:
    edge = EchoEdge(conversation)
    started: threading.Event = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopping.set))
        app = web.Application()
        app.router.add_get("/media/{provider}", edge.handle)
        app.router.add_get("/status/{status}", edge.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        edge.port = runner.addresses[0][1]
        started.set()
        try:
            await stopping.wait()
        finally:
            await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield edge
    finally:
        stop[0]()
        thread.join(10)
        assert not thread.is_alive()
