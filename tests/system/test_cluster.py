"""A cluster of three primaries: lanes spread over them, and slots move while calls go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest

from common.errors import LinkError, ServerChangedError
from common.keys import Lane, lanes
from common.link import Link, Reply, Request
from common.process import background
from common.topology import slot_of
from common.writer import Writer
from tests.redis_topologies import Cluster, Node, cluster
from tests.system.processes import System, wait_until
from tests.waiting import until

LANES = 3


class SystemOverCluster(System):
    """With one lane on each shard."""

    def __init__(self, shards: Cluster, directory: Path) -> None:
        super().__init__("redis://nobody", directory)
        self._shards = shards
        self.namespace, self.lanes = spread(shards)
        self._shared |= {
            "REDIS_URL": shards.url,
            "TRUNKLINE_LANES": str(LANES),
            "TRUNKLINE_NAMESPACE": self.namespace,
        }

    def keys_of_calls(self) -> list[bytes]:
        ours = f"{{{self.namespace}:*"
        keys = [key for node in self._shards.nodes for key in node.client.scan_iter(match=ours)]
        kinds = (":call:", ":in:", ":out:")
        return [key.encode() for key in keys if any(kind in key for kind in kinds)]

    def unfinished(self) -> int:
        entries: int = sum(self._node_of(lane).client.xlen(lane.calls) for lane in self.lanes)
        return entries

    def used_lanes(self) -> set[int]:
        """Those that have had a call."""
        return {
            lane.number
            for lane in self.lanes
            if self._node_of(lane).client.xinfo_stream(lane.calls)["last-generated-id"] != "0-0"
        }

    def echo(self, *, calls: int) -> None:
        phone = self.phone("twilio", "--seconds", "0.5", "--expect", "echo", "--calls", str(calls))
        assert all(call.behaved for call in phone.report().calls)
        self.wait_until_no_call_is_left()

    def _node_of(self, lane: Lane) -> Node:
        return self._shards.owner(slot_of(lane))

    def _waiting_workers(self) -> int:
        """A worker waits on every lane."""
        clients = [client for node in self._shards.nodes for client in node.client.client_list()]
        return sum(map(self.waits_for_a_call, clients)) // LANES


def spread(shards: Cluster) -> tuple[str, list[Lane]]:
    """A namespace whose lanes lie on as many shards."""
    for number in count():
        namespace = f"spread-{number}"
        found = lanes(namespace, LANES)
        if len({shards.owner(slot_of(lane)) for lane in found}) == LANES:
            return namespace, found
    raise AssertionError("unreachable")


class RecordingLink(Link):
    """Remembers how often it failed, and how."""

    def __init__(self, shards: Cluster, lane: Lane) -> None:
        super().__init__(shards.url, timeout_s=5.0, lane=lane)
        self.failures: list[LinkError] = []

    async def execute(self, requests: Sequence[Request], *, block_s: float = 0.0) -> list[Reply]:
        try:
            return await super().execute(requests, block_s=block_s)
        except LinkError as error:
            self.failures.append(error)
            raise

    def told(self) -> str:
        return " ".join(str(failure) for failure in self.failures)


@pytest.fixture(scope="module")
def shards() -> Iterator[Cluster]:
    with cluster() as shards:
        yield shards


@pytest.fixture
def system(shards: Cluster, tmp_path: Path) -> Iterator[SystemOverCluster]:
    system = SystemOverCluster(shards, tmp_path)
    yield system
    system.close()


def another(shards: Cluster, than: Node) -> Node:
    return next(node for node in shards.primaries if node is not than)


async def test_every_lane_is_written_to_its_shard(shards: Cluster) -> None:
    for lane in lanes("every", 8):
        link = Link(shards.url, timeout_s=5.0, lane=lane)
        key = lane.keys("c1").events
        assert await link.execute([(b"SET", key, b"v"), (b"GET", key)]) == [b"OK", b"v"]
        assert shards.owner(slot_of(lane)).client.get(key) == "v"
        await link.close()


async def test_a_slot_that_moves_in_mid_write_loses_nothing(shards: Cluster) -> None:
    lane = lanes("moving", 1)[0]
    key = lane.keys("c1").events
    link = RecordingLink(shards, lane)
    writer = Writer(link, tick_s=0.001)
    written, done = count(1), asyncio.Event()

    async def write() -> None:
        while not done.is_set():
            number = b"%d" % next(written)
            writer.submit((b"XADD", key, number + b"-0", b"e", number), lambda reply: None)
            await asyncio.sleep(0.001)

    async with background(writer.run()):
        writing = asyncio.create_task(write())
        await writer.flushed()
        for _ in range(3):
            owner = shards.owner(slot_of(lane))
            target = another(shards, owner)
            before = link.server_id
            await asyncio.to_thread(shards.move_slot, slot_of(lane), to=target)
            await until(lambda before=before: link.server_id != before)
        done.set()
        await writing
        await writer.flushed()
    await link.close()
    assert "MOVED" in link.told() or "ASK" in link.told()
    assert sum(isinstance(failure, ServerChangedError) for failure in link.failures) == 3
    entries = shards.owner(slot_of(lane)).client.xrange(key)
    assert [int(fields["e"]) for _, fields in entries] == list(range(1, next(written)))


async def test_a_slot_that_is_half_moved_does_not_answer_until_it_has(shards: Cluster) -> None:
    lane = lanes("half", 1)[0]
    keys = lane.keys("c1")
    link = Link(shards.url, timeout_s=5.0, lane=lane)
    assert await link.execute([(b"SET", keys.events, b"v")]) == [b"OK"]
    target = another(shards, shards.owner(slot_of(lane)))
    shards.begin_move(slot_of(lane), to=target)
    with pytest.raises(LinkError, match="ASK"):
        await link.execute([(b"GET", keys.events), (b"GET", keys.commands)])
    with pytest.raises(LinkError, match=r"TRYAGAIN|ASK"):
        await link.execute([(b"MGET", keys.events, keys.commands)])
    shards.finish_move(slot_of(lane), to=target)
    with pytest.raises(ServerChangedError):
        await link.execute([(b"PING",)])
    assert await link.execute([(b"GET", keys.events)]) == [b"v"]
    await link.close()


def test_calls_of_every_lane_reach_a_worker(shards: Cluster, system: SystemOverCluster) -> None:
    system.start()

    def all_lanes_are_used() -> bool:
        system.echo(calls=8)  # each lies on any lane
        return len(system.used_lanes()) == LANES

    wait_until(all_lanes_are_used)


def test_calls_go_on_while_their_slots_move(shards: Cluster, system: SystemOverCluster) -> None:
    system.start()
    phone = system.phone("twilio", "--seconds", "4", "--calls", "6", "--expect", "echo")
    system.wait_until_live(6)
    wait_until(system.keys_of_calls)
    for lane in system.lanes:
        slot = slot_of(lane)
        shards.move_slot(slot, to=another(shards, shards.owner(slot)))
    report = phone.report()
    for call in report.calls:
        assert call.behaved, call
    system.wait_until_no_call_is_left()
