from __future__ import annotations

import asyncio
import uuid
from typing import Any

from redis.asyncio import Redis

from common.audio import AudioFormat
from common.events import CallEnded, CallStarted, EndReason
from common.process import background
from edge.downlink import Subscriber
from edge.lanes import EdgeLanes
from edge.settings import EdgeSettings
from tests.chaos_proxy import ChaosProxy
from tests.waiting import until


async def test_call_is_placed_on_the_lane_whose_tag_its_keys_carry(redis_url: str) -> None:
    lanes = EdgeLanes(EdgeSettings(redis_url=redis_url, namespace="tl", lanes=4))
    placed = {}
    for n in range(100):
        lane, keys = lanes.place(uuid.UUID(int=n).hex)
        assert keys.call.startswith(f"{lane.lane.tag}:call:".encode())
        placed[lane.lane.number] = lane
    assert sorted(placed) == [0, 1, 2, 3]


async def test_edges_can_be_told_apart(redis_url: str) -> None:
    settings = EdgeSettings(redis_url=redis_url)
    assert EdgeLanes(settings).edge_id != EdgeLanes(settings).edge_id


async def test_lanes_answer_once_every_lane_does(redis_url: str) -> None:
    async with ChaosProxy.in_front_of(redis_url) as proxy:
        lanes = EdgeLanes(EdgeSettings(redis_url=proxy.url, lanes=3, redis_timeout_ms=2000))
        assert not lanes.are_answering()
        async with background(lanes.run()):
            await until(lanes.are_answering)
            await lanes.flushed()
            await proxy.go_away()
            await until(lambda: not lanes.are_answering())


async def test_edge_is_alive_on_every_lane_until_it_leaves(redis_url: str, redis: Redis) -> None:
    lanes = EdgeLanes(EdgeSettings(redis_url=redis_url, namespace="tl", lanes=3))
    keys = [f"{{tl:{number}}}:edges" for number in range(3)]

    async def leases() -> list[bool]:
        return [await redis.zscore(key, lanes.edge_id) is not None for key in keys]

    async def are_all_there() -> bool:
        return all(await leases())

    async with background(lanes.run()):
        await until(are_all_there)
        await lanes.leave()
        assert await leases() == [False] * 3


async def test_edge_does_not_leave_before_the_end_of_its_calls_is_stored(
    redis_url: str, redis: Redis
) -> None:
    lanes = EdgeLanes(EdgeSettings(redis_url=redis_url, namespace="tl"))
    lane, keys = lanes.place("c1")
    call = lane.open_call(keys, on_lost=lambda: None, on_not_taken=lambda: None)
    async with background(lanes.run()):
        call.announce(CallStarted("dummy", AudioFormat.pcmu()), at_ms=1)
        leaving = asyncio.create_task(lanes.leave())
        await lane.writer.flushed()
        assert not leaving.done()
        call.append(CallEnded(EndReason.EDGE_DRAINED), at_ms=2)
        async with asyncio.timeout(20):
            await leaving
    assert await redis.xlen(keys.events) == 2


async def test_another_server_is_read_from_as_soon_as_it_is_written_to(
    redis_url: str, redis: Any
) -> None:
    """A primary that was demoted goes on answering those who only read."""
    lanes = EdgeLanes(EdgeSettings(redis_url=redis_url, namespace="tl"))
    lane, keys = lanes.place("c1")
    lane.downlink.subscribe(keys, Subscriber(lambda _: None, lambda _: None, lambda: None))

    async def readers() -> set[str]:
        return {client["id"] for client in await redis.client_list() if client["cmd"] == "xread"}

    async def is_read() -> bool:
        return len(await readers()) == 1

    async with background(lanes.run()):
        await until(is_read)
        before = await readers()
        await redis.replicaof("127.0.0.1", 1)
        try:
            await until(lambda: not lanes.are_answering())
            assert await readers() == before
        finally:
            await redis.replicaof("NO", "ONE")

        async def is_read_anew() -> bool:
            return await is_read() and await readers() != before

        await until(is_read_anew)
