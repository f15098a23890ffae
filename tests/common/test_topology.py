"""Who is asked, in which order, and what their answers mean. Failures of real servers are in
`tests/system/test_sentinel.py` and `test_cluster.py`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from common.errors import LinkError
from common.keys import lanes
from common.redis_url import Address, parse
from common.topology import place_of, slot_of
from tests.chaos_proxy import ChaosProxy
from tests.redis_topologies import SERVICE, Cluster, Sentinel, cluster, sentinel

LANE = lanes("tl", 1)[0]


@pytest.fixture(scope="module")
def trio() -> Iterator[Sentinel]:
    with sentinel() as trio:
        yield trio


@pytest.fixture(scope="module")
def shards() -> Iterator[Cluster]:
    with cluster() as shards:
        yield shards


@pytest.fixture
async def proxies(
    trio: Sentinel, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[ChaosProxy]]:
    """One before each sentinel; who answers late on a busy machine is not silent."""
    monkeypatch.setattr("common.topology._TIMEOUT_S", 2.0)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(ChaosProxy.in_front_of(sentinel.url))
            for sentinel in trio.sentinels
        ]


def behind(proxies: list[ChaosProxy], service: str = SERVICE) -> str:
    places = ",".join(proxy.url.split("/")[2] for proxy in proxies)
    return f"redis+sentinel://{places}/{service}"


def asked(proxies: list[ChaosProxy]) -> list[int]:
    return [proxy.connections for proxy in proxies]


async def test_one_server_is_where_it_is() -> None:
    place = place_of(parse("redis://cache:7000"), None)
    assert await place.find() == Address("cache", 7000)
    place.doubt()
    assert await place.find() == Address("cache", 7000)


async def test_the_first_sentinel_that_answers_names_the_primary(
    trio: Sentinel, proxies: list[ChaosProxy]
) -> None:
    place = place_of(parse(behind(proxies)), None)
    assert await place.find() == Address("127.0.0.1", trio.primary().port)
    assert asked(proxies) == [1, 0, 0]


async def test_a_sentinel_that_is_silent_or_gone_is_asked_last_the_next_time(
    trio: Sentinel, proxies: list[ChaosProxy]
) -> None:
    proxies[0].stall()
    await proxies[1].go_away()
    place = place_of(parse(behind(proxies)), LANE)
    for _ in range(3):
        assert await place.find() == Address("127.0.0.1", trio.primary().port)
    assert asked(proxies) == [1, 0, 3]


async def test_a_sentinel_whose_primary_was_none_is_asked_last(proxies: list[ChaosProxy]) -> None:
    """It may be cut off from the others, and sure of a primary that is no more."""
    place = place_of(parse(behind(proxies)), None)
    for _ in range(4):
        await place.find()
        place.doubt()
    assert asked(proxies) == [2, 1, 1]


async def test_a_service_that_no_sentinel_knows(proxies: list[ChaosProxy]) -> None:
    place = place_of(parse(behind(proxies, "nobody")), None)
    with pytest.raises(LinkError, match=r"nobody says where Redis is; .*: does not know"):
        await place.find()
    assert asked(proxies) == [1, 1, 1]


async def test_sentinels_that_are_all_silent_cost_their_time_each() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        url = f"redis+sentinel://127.0.0.1:{port},localhost:{port}/{SERVICE}"
        began = asyncio.get_running_loop().time()
        with pytest.raises(LinkError, match=r"last asked was localhost:.*time-out"):
            await place_of(parse(url), None).find()
        assert 0.6 <= asyncio.get_running_loop().time() - began <= 20.0


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_any_node_tells_who_serves_a_lane(shards: Cluster, first: int) -> None:
    url = f"redis+cluster://127.0.0.1:{shards.nodes[first].port}"
    for lane in lanes("tl", 8):
        found = await place_of(parse(url), lane).find()
        assert found.port == shards.owner(slot_of(lane)).port


def test_the_slot_of_a_lane_is_that_of_all_its_keys(shards: Cluster) -> None:
    client = shards.nodes[0].client
    for lane in lanes("tl", 8):
        for key in (lane.calls, lane.workers, lane.keys("c{1}").events):
            assert client.execute_command("CLUSTER KEYSLOT", key) == slot_of(lane)


async def test_the_node_found_last_is_asked_first(shards: Cluster) -> None:
    """It knows of a move before the others do: so a move is found at once, wherever it began."""
    slot = slot_of(LANE)
    owner = shards.owner(slot)
    others = [node for node in shards.nodes if node is not owner]
    place = place_of(parse(f"redis+cluster://127.0.0.1:{others[0].port}"), LANE)
    assert (await place.find()).port == owner.port
    for target in (others[1], owner):
        shards.move_slot(slot, to=target)
        assert (await place.find()).port == target.port


async def test_a_server_that_is_no_cluster_cannot_tell(trio: Sentinel) -> None:
    place = place_of(parse(f"redis+cluster://127.0.0.1:{trio.nodes[0].port}"), LANE)
    with pytest.raises(LinkError, match="cluster support disabled"):
        await place.find()


async def test_a_slot_that_nobody_serves(shards: Cluster) -> None:
    slot = slot_of(LANE)
    owner = shards.owner(slot)
    owner.client.execute_command("CLUSTER DELSLOTS", slot)
    try:
        place = place_of(parse(f"redis+cluster://127.0.0.1:{owner.port}"), LANE)
        with pytest.raises(LinkError, match=f"no node of the cluster serves slot {slot}"):
            await place.find()
    finally:
        owner.client.execute_command("CLUSTER ADDSLOTS", slot)


def test_a_cluster_is_asked_for_a_lane() -> None:
    with pytest.raises(ValueError, match="which lane"):
        place_of(parse("redis+cluster://a"), None)
