from __future__ import annotations

import uuid

from common.process import background
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
        lanes = EdgeLanes(EdgeSettings(redis_url=proxy.url, lanes=3, redis_timeout_ms=50))
        assert not lanes.are_answering()
        async with background(lanes.run()):
            await until(lanes.are_answering)
            await lanes.flushed()
            await proxy.go_away()
            await until(lambda: not lanes.are_answering())
