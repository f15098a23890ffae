from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import WSServerHandshakeError
from yarl import URL

from common.events import CallEnded, EndReason
from edge import app
from tests.chaos_proxy import ChaosProxy
from tests.edge.calls import Closed, RunningEdge, counted, running_edge
from tests.waiting import until

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def refused(reason: str) -> float:
    return counted("trunkline_edge_calls_refused_total", reason=reason)


async def refusal(edge: RunningEdge, path: str = "/media/twilio") -> int:
    """The status with which a WebSocket is refused."""
    with pytest.raises(WSServerHandshakeError) as raised:
        await edge.connect(path)
    return raised.value.status


async def test_living_process_says_so(edge: RunningEdge) -> None:
    assert await edge.get("/healthz") == (200, "ok\n")


async def test_edge_that_takes_calls_is_ready(edge: RunningEdge) -> None:
    assert await edge.get("/readyz") == (200, "ready\n")


async def test_metrics_are_prometheus_text(edge: RunningEdge) -> None:
    await edge.call()
    status, text = await edge.get("/metrics")
    assert status == 200
    assert 'trunkline_edge_calls{provider="twilio"} 1.0\n' in text


@pytest.mark.parametrize("path", ["/media/nobody", "/media/", "/media/twilio/x", "/nowhere"])
async def test_unknown_path_is_not_found(edge: RunningEdge, path: str) -> None:
    assert await refusal(edge, path) == 404


async def test_unknown_provider_is_counted(edge: RunningEdge) -> None:
    before = refused("unknown_provider")
    await refusal(edge, "/media/nobody")
    assert refused("unknown_provider") == before + 1


async def test_request_that_is_no_websocket_is_told_to_become_one(edge: RunningEdge) -> None:
    told = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    async with edge.client.get(edge.url + "/media/twilio") as response:
        assert response.status == 426
        assert {name: response.headers[name] for name in told} == told


@pytest.mark.parametrize("version", ["8", "7", "12", "x", ""])
async def test_version_before_the_standard_is_told_which_it_is(
    edge: RunningEdge, version: str
) -> None:
    headers = UPGRADE | {"Sec-WebSocket-Version": version}
    async with edge.client.get(edge.url + "/media/twilio", headers=headers) as response:
        assert (response.status, response.headers["Sec-WebSocket-Version"]) == (426, "13")


async def test_full_edge_refuses_calls_and_is_not_ready(redis_url: str) -> None:
    async with running_edge(redis_url, max_calls=1) as edge:
        caller, _ = await edge.call()
        before = refused("full")
        assert await refusal(edge) == 503
        assert refused("full") == before + 1
        assert await edge.get("/readyz") == (503, "full\n")
        await caller.stop()
        await caller.closed()

        async def is_ready() -> bool:
            return await edge.get("/readyz") == (200, "ready\n")

        await until(is_ready)


async def test_edge_without_redis_refuses_calls_and_is_not_ready(redis_url: str) -> None:
    async with (
        ChaosProxy.in_front_of(redis_url) as proxy,
        running_edge(redis_url, through=proxy, redis_timeout_ms=2000) as edge,
    ):
        await proxy.go_away()
        await until(lambda: not edge.lanes.are_answering())
        assert await edge.get("/readyz") == (503, "no_redis\n")
        assert await edge.get("/healthz") == (200, "ok\n")
        assert await refusal(edge) == 503
        await proxy.come_back()
        await until(edge.lanes.are_answering)
        assert await edge.get("/readyz") == (200, "ready\n")


class TestDrain:
    async def test_no_new_call_is_taken(self, edge: RunningEdge) -> None:
        await edge.edge.drain(0)
        async with edge.client.get(edge.url + "/media/twilio", headers=UPGRADE) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert await edge.get("/readyz") == (503, "draining\n")
        assert await edge.get("/healthz") == (200, "ok\n")

    async def test_live_calls_may_end_by_themselves(self, edge: RunningEdge) -> None:
        caller, call = await edge.call()
        draining = asyncio.create_task(edge.edge.drain(60))
        await until(lambda: edge.edge._is_draining)
        await caller.press("1")
        await caller.stop()
        assert await caller.closed() == Closed(1000, "")
        await draining
        assert (await call.events(last=CallEnded))[-1] == CallEnded(EndReason.CALLER_HUNG_UP)

    async def test_calls_that_do_not_end_in_time_are_closed_1012(self, edge: RunningEdge) -> None:
        caller, call = await edge.call()
        draining = asyncio.create_task(edge.edge.drain(0.05))
        assert await caller.closed() == Closed(1012, "edge restarts")
        await draining
        await edge.lanes.flushed()
        assert (await call.stored())[-1] == CallEnded(EndReason.EDGE_DRAINED, "edge restarts")

    async def test_sockets_without_a_call_are_closed_too(self, edge: RunningEdge) -> None:
        caller = await edge.connect()
        draining = asyncio.create_task(edge.edge.drain(0.05))
        assert await caller.closed() == Closed(1012, "edge restarts")
        await draining

    async def test_edge_without_calls_is_drained_at_once(self, edge: RunningEdge) -> None:
        async with asyncio.timeout(20):
            await edge.edge.drain(60)


@asynccontextmanager
async def connection(
    edge: RunningEdge,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = URL(edge.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        async with asyncio.timeout(30):
            yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer_to(edge: RunningEdge, request: bytes) -> str:
    """The first line of what comes back, once the edge has closed the connection."""
    async with connection(edge) as (reader, writer):
        writer.write(request)
        return (await reader.read()).decode().partition("\r\n")[0]


HEAD = b"GET /media/twilio HTTP/1.1\r\nHost: edge\r\n" + b"".join(
    f"{name}: {value}\r\n".encode() for name, value in UPGRADE.items()
)
WITH_A_BODY = {
    "length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
}
NO_HTTP = {
    "length and chunks": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "header of 9 KB": HEAD + b"X: " + b"x" * 9000 + b"\r\n\r\n",
    "200 headers": HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n",
    "path of 9 KB": b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
    "encrypted": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
    "two hosts": HEAD + b"Host: other\r\n\r\n",
    "header folded": HEAD + b"X: a\r\n b\r\n\r\n",
}


class TestBadRequests:
    """Rows B4 and B5 of the reliability notes, 4.2."""

    @pytest.mark.parametrize("request_", WITH_A_BODY.values(), ids=WITH_A_BODY)
    async def test_upgrade_with_a_body_is_refused(self, edge: RunningEdge, request_: bytes) -> None:
        before = refused("upgrade_with_body")
        assert await answer_to(edge, request_) == "HTTP/1.1 400 Bad Request"
        assert refused("upgrade_with_body") == before + 1

    @pytest.mark.parametrize("request_", NO_HTTP.values(), ids=NO_HTTP)
    async def test_what_is_no_http_is_refused_and_counted(
        self, edge: RunningEdge, request_: bytes
    ) -> None:
        before = refused("bad_request")
        assert await answer_to(edge, request_) == "HTTP/1.0 400 Bad Request"
        assert refused("bad_request") == before + 1

    async def test_flood_of_them_is_no_flood_of_the_log(
        self, edge: RunningEdge, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        for _ in range(20):
            await answer_to(edge, NO_HTTP["encrypted"])
            await answer_to(edge, NO_HTTP["two hosts"])
            await refusal(edge, "/media/nobody")
        assert len([record for record in caplog.records if record.name != "asyncio"]) <= 4
        assert "Traceback" not in caplog.text

    @pytest.mark.parametrize("piece", [b"x", b"X: y\r\n"])
    async def test_head_that_only_drips_is_cut_off(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch, piece: bytes
    ) -> None:
        monkeypatch.setattr(app, "_HEAD_TIMEOUT_S", 0.3)
        async with running_edge(redis_url) as edge, connection(edge) as (reader, writer):
            writer.write(b"GET /media/twilio HTTP/1.1\r\n")
            dripping = asyncio.create_task(drip(writer, piece))
            try:
                assert await reader.read() == b""
            except ConnectionResetError:
                pass  # a drop was on its way
            finally:
                dripping.cancel()

    async def test_connection_that_asks_nothing_is_cut_off(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(app, "_HEAD_TIMEOUT_S", 0.3)
        async with running_edge(redis_url) as edge, connection(edge) as (reader, _):
            assert await reader.read() == b""


async def drip(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while True:
        writer.write(piece)
        await asyncio.sleep(0.05)
