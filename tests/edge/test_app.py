from __future__ import annotations

import asyncio

import pytest
from aiohttp import WSServerHandshakeError

from common.events import CallEnded, EndReason
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
    async with edge.client.get(edge.url + "/media/twilio") as response:
        assert (response.status, response.headers["Upgrade"]) == (426, "websocket")


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
        running_edge(redis_url, through=proxy, redis_timeout_ms=50) as edge,
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
        async with asyncio.timeout(1):
            await edge.edge.drain(60)
