from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from common.follower import Follower
from common.link import Link
from common.process import background
from common.tail import Entry
from tests.chaos_proxy import ChaosProxy
from tests.waiting import until


class Reader:
    """Follows streams whose names begin with their owner's; collects what it is told."""

    def __init__(self, link: Link) -> None:
        self.read: dict[str, list[Entry]] = {}
        self.polls = 0
        self.unreadable: list[str] = []
        self.follower: Follower[str] = Follower(
            link,
            tick_s=0.001,
            count=10,
            on_entries=self.on_entries,
            on_unreadable=self.unreadable.append,
        )

    def on_entries(self, owner: str, entries: list[Entry]) -> None:
        self.polls += 1
        self.read.setdefault(owner, []).extend(entries)

    def has_read(self, owner: str, *sequences: int) -> bool:
        return [entry.sequence for entry in self.read.get(owner, [])] == list(sequences)


@pytest.fixture
async def reader(proxy: ChaosProxy) -> AsyncIterator[Reader]:
    link = Link(proxy.url, timeout_s=5.0)
    reader = Reader(link)
    async with background(reader.follower.run()):
        yield reader
    await link.close()


async def write(redis: Redis, key: str, *sequences: int) -> None:
    for sequence in sequences:
        await redis.xadd(key, {"e": b"x"}, id=f"{sequence}-0")


async def reads(redis: Redis) -> int:
    stats: Any = await redis.info("commandstats")
    return int(stats.get("cmdstat_xread", {}).get("calls", 0))


async def test_each_owner_gets_its_entries_in_order(reader: Reader, redis: Redis) -> None:
    reader.follower.follow(b"a", "alice")
    reader.follower.follow(b"b", "bob", after=2)
    await write(redis, "b", 1, 2, 3)
    await write(redis, "a", 1, 2)
    await until(lambda: reader.has_read("alice", 1, 2) and reader.has_read("bob", 3))
    await write(redis, "a", 4)
    await until(lambda: reader.has_read("alice", 1, 2, 4))


async def test_what_is_more_than_one_poll_may_bring_comes_with_the_next(
    reader: Reader, redis: Redis
) -> None:
    await write(redis, "a", *range(1, 26))
    reader.follower.follow(b"a", "alice")
    await until(lambda: reader.has_read("alice", *range(1, 26)))
    assert reader.polls == 3


async def test_streams_that_are_none_are_told_and_the_others_read_on(
    reader: Reader, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    reader.follower.follow(b"good", "good")
    await write(redis, "good", 1)
    await until(lambda: reader.has_read("good", 1))
    await redis.set("bad", "no stream")
    await redis.set("worse", "no stream")
    for owner in ("bad", "better", "worse"):
        reader.follower.follow(owner.encode(), owner)
    await write(redis, "better", 1)
    await write(redis, "good", 2)
    await until(lambda: reader.has_read("good", 1, 2) and reader.has_read("better", 1))
    assert reader.unreadable == ["bad", "worse"]
    ours = [record for record in caplog.records if record.name == "common.follower"]
    assert [record.levelname for record in ours] == ["ERROR"]
    asked = await reads(redis)
    await write(redis, "good", 3)
    await until(lambda: reader.has_read("good", 1, 2, 3))
    assert await reads(redis) > asked  # together again, and nobody is told twice
    assert reader.unreadable == ["bad", "worse"]


async def test_nothing_is_asked_while_nothing_is_followed(reader: Reader, redis: Redis) -> None:
    reader.follower.follow(b"a", "alice")
    await write(redis, "a", 1)
    await until(lambda: reader.has_read("alice", 1))
    reader.follower.forget(b"a")
    before = await reads(redis)
    for _ in range(20):
        await redis.ping()
    assert await reads(redis) <= before + 1  # one may have been under way


async def test_entries_of_an_outage_are_read_after_it_each_once(
    reader: Reader, redis: Redis, proxy: ChaosProxy
) -> None:
    reader.follower.follow(b"a", "alice")
    await write(redis, "a", 1)
    await until(lambda: reader.has_read("alice", 1))
    await proxy.go_away()
    await write(redis, "a", 2)
    await proxy.come_back()
    lost = proxy.drop_next_reply(to=b"XREAD")
    await lost.wait()
    await write(redis, "a", 3)
    await until(lambda: reader.has_read("alice", 1, 2, 3))
