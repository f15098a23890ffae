from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import cast

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from edge.metrics import ForProvider
from edge.outlet import Outlet, keep_short
from tests.edge.calls import counted
from tests.waiting import until

NOT_SENT = (sockets.IPPROTO_TCP, sockets.TCP_NOTSENT_LOWAT)
SERIES = ForProvider("outlet")
Handler = Callable[[Outlet], Awaitable[None]]
Serve = Callable[[Handler], Awaitable[ClientWebSocketResponse]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Connects to a server that runs the handler with the socket's outlet."""
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=1.0)

    async with ClientSession() as client:

        async def connect(handler: Handler) -> ClientWebSocketResponse:
            async def handle(request: web.Request) -> web.WebSocketResponse:
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                await handler(Outlet(socket))
                return socket

            app.router.add_get("/", handle)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            return await client.ws_connect(f"http://{host}:{port}/")

        yield connect
    await runner.cleanup()


async def test_text_and_audio_leave_in_order_and_are_counted(serve: Serve) -> None:
    async def send(outlet: Outlet) -> None:
        await outlet.send(["a", b"b", "c"], SERIES)
        assert outlet.stuck_s(now=time.monotonic()) == 0.0

    before = counted("trunkline_edge_messages_out_total", provider="outlet")
    socket = await serve(send)
    assert [(await socket.receive()).data for _ in range(3)] == ["a", b"b", "c"]
    assert counted("trunkline_edge_messages_out_total", provider="outlet") == before + 3
    await socket.close()


async def test_time_to_silence_is_told_once_a_clear(serve: Serve) -> None:
    async def send(outlet: Outlet) -> None:
        outlet.clear_arrived()
        await outlet.send(["clear"], SERIES)
        await outlet.send(["audio"], SERIES)
        await outlet.close(1000, "")

    name = "trunkline_edge_clear_to_silence_seconds_count"
    before = counted(name, provider="outlet")
    socket = await serve(send)
    assert [(await socket.receive()).data for _ in range(3)] == ["clear", "audio", 1000]
    assert counted(name, provider="outlet") == before + 1


async def test_socket_is_closed_with_our_code(serve: Serve) -> None:
    socket = await serve(lambda outlet: outlet.close(1012, "edge restarts"))
    message = await socket.receive()
    assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1012, "edge restarts")


async def test_connection_that_aiohttp_gives_up_stays_until_the_peer_has_said_all(
    serve: Serve,
) -> None:
    outlets: list[Outlet] = []

    async def read(outlet: Outlet) -> None:
        message = await outlet._peer.receive()
        assert message.type is WSMsgType.ERROR
        outlet.hold_open()
        await outlet.close(1002, "")
        outlets.append(outlet)

    socket = await serve(read)
    await socket.send_frame(b"no text: \xff", WSMsgType.TEXT)
    for _ in range(10):
        await socket.send_bytes(bytes(100_000))
    message = await socket.receive()
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1007)
    await until(lambda: bool(outlets))
    assert outlets[0]._held is not None
    assert outlets[0]._held.fileno() < 0


async def test_connection_that_is_gone_already_cannot_be_held(serve: Serve) -> None:
    outlets: list[Outlet] = []

    async def wait(outlet: Outlet) -> None:
        await outlet._peer.receive()
        await until(lambda: outlet._peer.get_extra_info("socket").fileno() < 0)
        outlet.hold_open()
        outlets.append(outlet)

    socket = await serve(wait)
    await socket.close()
    await until(lambda: bool(outlets))
    assert outlets[0]._held is None


async def test_peer_that_takes_nothing_is_noticed(serve: Serve) -> None:
    outlets: list[Outlet] = []

    async def send(outlet: Outlet) -> None:
        outlets.append(outlet)
        with suppress(ConnectionError):
            await outlet.send([bytes(1_000_000)] * 100, SERIES)

    socket = await serve(send)
    await until(lambda: bool(outlets) and outlets[0].stuck_s(now=time.monotonic()) > 0.05)
    socket._response.close()


async def test_peer_is_asked_whether_it_reads_behind_what_it_is_sent_and_not_all_the_time() -> None:
    """A ping a second at most, and none before the last one was answered."""
    peer = Peer()
    outlet = Outlet(cast(web.WebSocketResponse, peer))
    await outlet.send(["a"], SERIES)
    await outlet.send(["b"], SERIES)
    outlet.pong_arrived()
    await outlet.send(["c"], SERIES)
    assert peer.told == ["a", "ping", "b", "c"]
    outlet._next_ping_at = time.monotonic()
    await outlet.send(["d"], SERIES)
    outlet._next_ping_at = time.monotonic()
    await outlet.send(["e"], SERIES)
    assert peer.told[4:] == ["d", "ping", "e"]


async def test_ping_without_an_answer_counts_only_for_a_peer_that_has_answered_one() -> None:
    outlet = Outlet(cast(web.WebSocketResponse, Peer()))
    await outlet.send(["a"], SERIES)
    assert outlet.stuck_s(now=time.monotonic() + 60) == 0.0
    outlet.pong_arrived()
    assert outlet.stuck_s(now=time.monotonic() + 60) == 0.0
    outlet._next_ping_at = time.monotonic()
    await outlet.send(["b"], SERIES)
    assert 60 <= outlet.stuck_s(now=time.monotonic() + 60) < 61
    outlet.pong_arrived()
    assert outlet.stuck_s(now=time.monotonic() + 60) == 0.0


class Peer:
    """Stands where a socket stands that takes everything."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def send_str(self, text: str) -> None:
        self.told.append(text)

    async def ping(self) -> None:
        self.told.append("ping")


async def test_little_is_kept_in_the_buffers_of_a_connection(serve: Serve) -> None:
    limits: list[tuple[int, int]] = []

    async def look(outlet: Outlet) -> None:
        transport = outlet._peer._req.transport  # type: ignore[union-attr]
        assert isinstance(transport, asyncio.Transport)
        keep_short(transport)
        limits.append(transport.get_write_buffer_limits())
        limits.append((0, transport.get_extra_info("socket").getsockopt(*NOT_SENT)))

    socket = await serve(look)
    await socket.receive()
    assert [high for _, high in limits] == [4096, 8192]
