"""Three servers and three sentinels; what a link and the system over it do when the primary fails.

Here it is that everybody finds the new primary, is told, and goes on; what calls in mid-speech lose
and get back is measured in `tests/system/chaos/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from common import bus
from common.errors import LinkError, ServerChangedError
from common.keys import lanes
from common.link import Link, Reply, Request
from common.process import background
from common.writer import Writer
from tests.redis_topologies import Node, Sentinel, sentinel
from tests.system.processes import System, wait_until
from tests.waiting import until

LANE = lanes("failover", 1)[0]
KEYS = LANE.keys("c1")

#: Noticing takes 1 s, agreeing up to 2 s, making the other replica follow 1 s; a busy machine.
FAILOVER_S = 40.0


class RecordingLink(Link):
    """Remembers how often it failed, and how."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_s=0.5, lane=LANE)
        self.failures: list[type[LinkError]] = []

    async def execute(self, requests: Sequence[Request], *, block_s: float = 0.0) -> list[Reply]:
        try:
            return await super().execute(requests, block_s=block_s)
        except LinkError as error:
            self.failures.append(type(error))
            raise


class Publisher:
    """Writes numbered events, as the uplink does, and counts those that Redis has taken."""

    def __init__(self, link: RecordingLink) -> None:
        self.link = link
        self.writer = Writer(link, tick_s=0.001)
        self.sequence = 0
        self.taken = 0

    def publish(self) -> None:
        self.sequence += 1
        number = b"%d" % self.sequence
        self.writer.submit((b"XADD", KEYS.events, number + b"-0", b"e", number), self._count)

    async def publish_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(FAILOVER_S):
            while not condition():
                self.publish()
                await asyncio.sleep(0.02)

    async def publish_more(self) -> None:
        """Returns when Redis has taken some that are published now."""
        goal = self.sequence + 20
        await self.publish_until(lambda: self.taken >= goal)
        await self.writer.flushed()

    def _count(self, reply: Any) -> None:
        assert bus.is_already_stored(reply) or reply == b"%d-0" % (self.taken + 1), reply
        self.taken += 1


class SystemOverSentinels(System):
    def __init__(self, trio: Sentinel, directory: Path) -> None:
        super().__init__(trio.primary().url, directory)
        self._trio = trio
        self._shared["REDIS_URL"] = trio.url

    def echo(self) -> None:
        """A call from end to end."""
        assert self.phone("twilio", "--seconds", "0.5", "--expect", "echo").call().behaved
        self.wait_until_no_call_is_left()

    def wait_until_back(self) -> None:
        """Over the new primary, when the old one has failed."""
        wait_until(lambda: self.edge.status("/readyz") == 200, within_s=FAILOVER_S)
        self.redis.close()
        self.redis = redis.Redis.from_url(self._trio.primary().url)
        wait_until(lambda: self._waiting_workers() == len(self.workers))


@pytest.fixture(scope="module")
def trio() -> Iterator[Sentinel]:
    """For tests that leave it whole, and for the last of all."""
    with sentinel() as trio:
        yield trio


@pytest.fixture
def system(trio: Sentinel, tmp_path: Path) -> Iterator[SystemOverSentinels]:
    system = SystemOverSentinels(trio, tmp_path)
    yield system
    system.close()


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(RecordingLink(url))
    try:
        async with background(publisher.writer.run()):
            await publisher.publish_until(lambda: publisher.taken >= 20)
            publisher.link.failures.clear()  # a busy machine may answer late
            yield publisher
    finally:
        await publisher.link.close()


def stored(node: Node) -> set[int]:
    return {int(fields["e"]) for _, fields in node.client.xrange(KEYS.events)}


def refuses(node: Node) -> bool:
    try:
        node.client.set("k", "v")
    except redis.ResponseError:
        return True
    return False


async def test_a_primary_that_has_lost_its_replicas_does_not_answer(trio: Sentinel) -> None:
    """So what nobody else has is not taken for stored, and the sentinels are asked again."""
    async with publishing(trio.url) as publisher:
        replicas = [node for node in trio.nodes if node is not trio.primary()]
        for node in replicas:
            node.pause()
        try:
            await publisher.publish_until(lambda: publisher.writer.is_cut_off(0.0))
        finally:
            for node in replicas:
                node.resume()
        await publisher.publish_more()
        assert ServerChangedError not in publisher.link.failures


async def test_a_primary_that_hangs_is_replaced_and_soon_takes_nothing_when_it_wakes() -> None:
    with sentinel() as trio:
        async with publishing(trio.url) as publisher:
            old = trio.primary()
            old.pause()
            try:
                await publisher.publish_more()
            finally:
                old.resume()
            assert trio.primary() is not old
            # It counts its replicas once a second; what it still takes until then is lost, but
            # comes only from who has waited longer than a link does.
            await until(lambda: refuses(old))
            await publisher.publish_more()
            assert publisher.link.failures.count(ServerChangedError) == 1
            assert stored(trio.primary()) >= set(range(21, publisher.sequence + 1))


async def test_a_primary_that_is_killed_is_replaced_and_its_users_are_told_once(
    trio: Sentinel, system: SystemOverSentinels
) -> None:
    await asyncio.to_thread(system.start)
    phone = system.phone("twilio", "--seconds", "3", "--calls", "3", "--expect", "echo")
    await asyncio.to_thread(system.wait_until_live, 3)
    async with publishing(trio.url) as publisher:
        old, before = trio.primary(), publisher.link.server_id
        old.kill()
        written = publisher.taken
        await publisher.publish_more()
        assert publisher.link.failures.count(ServerChangedError) == 1
        assert publisher.link.server_id not in ("", before)
        new = trio.primary()
        assert new is not old
        # What the old one acknowledged and did not pass on is for the caller to give again.
        assert stored(new) >= set(range(written + 1, publisher.sequence + 1))
    calls = (await asyncio.to_thread(phone.report)).calls
    assert all(call.behaved for call in calls)
    await asyncio.to_thread(system.wait_until_back)
    await asyncio.to_thread(system.echo)
