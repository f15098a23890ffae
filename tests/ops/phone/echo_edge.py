"""A far end for the phone: a real WebSocket server that echoes, well-behaved or with one vice.

Telnyx's audio is put back in order and said once, as an edge does.

It runs on a thread with a loop of its own, because `command.run` is synchronous and brings a loop.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import WSMsgType, web

__all__ = [
    "Conversation",
    "EchoEdge",
    "SunvoneConversation",
    "TelnyxConversation",
    "WavixConversation",
    "serving",
]

Message = dict[str, Any]


class Conversation:
    """One call, seen from the far end; of Twilio and its kin. A vice overrides what it needs."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.heard: list[Message] = []
        self.frames = 0

    async def receive(self, message: Message) -> None:
        self.heard.append(message)
        if message["event"] == "media":
            self.frames += 1
            await self.on_frame(self.frames, message["media"]["payload"])

    async def hear(self, audio: bytes) -> None:
        raise AssertionError("a binary message on a text protocol")

    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number % 10 == 0:
            await self.send(event="mark", mark={"name": f"echo-{number}"})

    async def play(self, payload: str) -> None:
        await self.send(event="media", media={"payload": payload})

    async def send(self, **fields: object) -> None:
        await self.say({"streamSid": self.stream_sid} | fields)

    async def say(self, message: Message) -> None:
        await self.socket.send_str(json.dumps(message))

    @property
    def stream_sid(self) -> str:
        start = next(message["start"] for message in self.heard if message["event"] == "start")
        return str(start["streamSid"])

    def said(self, event: str) -> list[Message]:
        return [message for message in self.heard if message["event"] == event]


class TelnyxConversation(Conversation):
    def __init__(self, socket: web.WebSocketResponse) -> None:
        super().__init__(socket)
        self._next_chunk = 1
        self._waiting: dict[int, str] = {}

    async def receive(self, message: Message) -> None:
        self.heard.append(message)
        if message["event"] == "media":
            self._waiting[int(message["media"]["chunk"])] = message["media"]["payload"]
        while self._next_chunk in self._waiting:
            self._next_chunk += 1
            self.frames += 1
            await self.on_frame(self.frames, self._waiting[self.frames])

    async def send(self, **fields: object) -> None:
        await self.say(fields)


class WavixConversation(Conversation):
    async def send(self, **fields: object) -> None:
        stream_id = next(each["stream_id"] for each in self.heard if each["event"] == "start")
        await self.say({"stream_id": stream_id} | fields)


class SunvoneConversation(Conversation):
    async def receive(self, message: Message) -> None:
        self.heard.append(message)
        if message["event"] == "incoming_call":
            await self.on_call()

    async def on_call(self) -> None:
        await self.send(event="answer")

    async def hear(self, audio: bytes) -> None:
        self.frames += 1
        await self.on_frame(self.frames, base64.b64encode(audio).decode())

    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)

    async def play(self, payload: str) -> None:
        await self.socket.send_bytes(base64.b64decode(payload))

    async def send(self, **fields: object) -> None:
        await self.say(fields)


_HONEST = {
    "sunvone": SunvoneConversation,
    "telnyx": TelnyxConversation,
    "wavix": WavixConversation,
}


class EchoEdge:
    """`conversation` is held with whoever calls; None: with each provider in its own words."""

    def __init__(
        self, conversation: Callable[[web.WebSocketResponse], Conversation] | None
    ) -> None:
        self.conversations: list[Conversation] = []
        self.close_codes: list[int | None] = []
        self.paths: list[str] = []
        self.port = 0
        self._make = conversation

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/media/PROVIDER"

    def wait_until(self, condition: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the far end waited in vain"
            time.sleep(0.005)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/status/"):
            return web.Response(status=int(request.match_info["status"]))
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        provider = request.match_info.get("provider", "")
        conversation = (self._make or _HONEST.get(provider, Conversation))(socket)
        self.conversations.append(conversation)
        self.paths.append(request.path)
        async for message in socket:
            if socket.closed:
                continue
            with contextlib.suppress(ConnectionError):  # a vice may have hung up
                if message.type is WSMsgType.TEXT:
                    await conversation.receive(json.loads(message.data))
                elif message.type is WSMsgType.BINARY:
                    await conversation.hear(message.data)
        self.close_codes.append(socket.close_code)
        return socket


@contextlib.contextmanager
def serving(
    conversation: Callable[[web.WebSocketResponse], Conversation] | None = None,
) -> Iterator[EchoEdge]:
    edge = EchoEdge(conversation)
    started: threading.Event = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopping.set))
        app = web.Application()
        app.router.add_get("/", edge.handle)
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
    assert started.wait(30)
    try:
        yield edge
    finally:
        stop[0]()
        thread.join(30)
        assert not thread.is_alive()
