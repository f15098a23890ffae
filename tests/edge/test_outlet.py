from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from edge.metrics import ForProvider
from edge.outlet import Outlet
from tests.edge.calls import counted
from tests.waiting import until

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


async def test_peer_that_takes_nothing_is_noticed(serve: Serve) -> None:
    outlets: list[Outlet] = []

    async def send(outlet: Outlet) -> None:
        outlets.append(outlet)
        with suppress(ConnectionError):
            await outlet.send([bytes(1_000_000)] * 100, SERIES)

    socket = await serve(send)
    await until(lambda: bool(outlets) and outlets[0].stuck_s(now=time.monotonic()) > 0.05)
    socket._response.close()
