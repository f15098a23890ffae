from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from common import bus
from common.errors import ReplyError, ServerChangedError
from common.keys import lanes
from common.link import Link
from common.process import background
from common.writer import Writer
from ops import redis_server
from tests.chaos_proxy import ChaosProxy
from tests.waiting import until

KEYS = lanes("writer", 1)[0].keys("c1")


class Publisher:
    """The edge's way of writing: numbered events of one call, replies kept in order."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.replies: list[Any] = []
        self._sequence = 1
        writer.submit(bus.announce(KEYS, "edge", b"1"), self.replies.append)

    def publish(self, count: int = 1) -> None:
        for _ in range(count):
            self._sequence += 1
            event = b"%d" % self._sequence
            self.writer.submit(bus.append_event(KEYS, self._sequence, event), self.replies.append)

    async def flushed(self) -> None:
        await asyncio.wait_for(self.writer.flushed(), 60)


@pytest.fixture
async def writer(proxy: ChaosProxy) -> AsyncIterator[Writer]:
    link = Link(proxy.url, timeout_s=5.0)
    writer = Writer(link, tick_s=0.001)
    async with background(writer.run()):
        await writer.flushed()
        yield writer
    await link.close()


@pytest.fixture
async def publisher(writer: Writer) -> Publisher:
    publisher = Publisher(writer)
    await publisher.flushed()
    return publisher


async def stored(redis: Redis) -> list[int]:
    entries: Any = await redis.xrange(KEYS.events)
    assert all(entry_id == fields[b"e"] + b"-0" for entry_id, fields in entries)
    return [int(fields[b"e"]) for _, fields in entries]


async def test_requests_are_written_in_order(publisher: Publisher, redis: Redis) -> None:
    publisher.publish(2000)  # more than one batch
    await publisher.flushed()
    assert await stored(redis) == list(range(1, 2002))
    assert publisher.replies == [1, *(b"%d-0" % n for n in range(2, 2002))]


async def test_entries_are_stored_once_when_a_reply_is_lost(
    publisher: Publisher, proxy: ChaosProxy, redis: Redis
) -> None:
    lost = proxy.drop_next_reply(to=b"XADD")
    publisher.publish(100)
    await publisher.flushed()
    assert lost.is_set()
    assert await stored(redis) == list(range(1, 102))
    assert all(bus.is_already_stored(reply) for reply in publisher.replies[1:])


async def test_call_is_announced_once_when_the_reply_is_lost(
    writer: Writer, proxy: ChaosProxy, redis: Redis
) -> None:
    lost = proxy.drop_next_reply(to=b"EVALSHA")
    publisher = Publisher(writer)
    await publisher.flushed()
    assert lost.is_set()
    assert publisher.replies == [1]
    assert await redis.xlen(KEYS.calls) == 1


async def test_entries_are_stored_once_however_often_the_connection_breaks(
    publisher: Publisher, proxy: ChaosProxy, redis: Redis
) -> None:
    for _ in range(5):
        lost = proxy.drop_next_reply(to=b"XADD")
        publisher.publish(50)
        await asyncio.wait_for(lost.wait(), 20)
        publisher.publish(50)
        proxy.cut()
    await publisher.flushed()
    assert await stored(redis) == list(range(1, 502))


async def test_what_comes_in_an_outage_is_written_after_it(
    publisher: Publisher, proxy: ChaosProxy, redis: Redis
) -> None:
    await proxy.go_away()
    publisher.publish(10)
    await until(lambda: not publisher.writer.is_answering)
    publisher.publish(10)
    await proxy.come_back()
    await publisher.flushed()
    assert await stored(redis) == list(range(1, 22))
    assert publisher.writer.is_answering


async def test_server_that_hangs_is_cut_off(publisher: Publisher, proxy: ChaosProxy) -> None:
    assert not publisher.writer.is_cut_off(0.0)
    publisher.writer._link._timeout_s = 0.2
    proxy.stall()
    publisher.publish()
    await until(lambda: publisher.writer.is_cut_off(0.05))
    assert not publisher.writer.is_cut_off(60)
    publisher.writer._link._timeout_s = 5.0
    proxy.resume()
    await publisher.flushed()
    assert not publisher.writer.is_cut_off(0.0)


async def test_idle_writer_notices_that_redis_is_away(writer: Writer, proxy: ChaosProxy) -> None:
    assert writer.is_answering
    await proxy.go_away()
    await until(lambda: not writer.is_answering)
    await proxy.come_back()
    await until(lambda: writer.is_answering)


async def test_writer_does_not_answer_before_redis_has(redis_url: str) -> None:
    assert not Writer(Link(redis_url, timeout_s=1), tick_s=0.001).is_answering


async def test_error_reply_is_handed_over_and_the_next_request_written(
    publisher: Publisher, redis: Redis
) -> None:
    publisher.writer.submit((b"HGET", KEYS.events, b"f"), publisher.replies.append)
    publisher.publish()
    await publisher.flushed()
    error, stored_id = publisher.replies[1:]
    assert isinstance(error, ReplyError)
    assert stored_id == b"2-0"


async def test_request_submitted_by_a_reply_is_written_before_flushed(writer: Writer) -> None:
    replies: list[Any] = []
    writer.submit((b"PING",), lambda _: writer.submit((b"ECHO", b"2"), replies.append))
    await asyncio.wait_for(writer.flushed(), 20)
    assert replies == [b"2"]


async def test_requests_of_one_tick_share_a_write(publisher: Publisher, redis: Redis) -> None:
    async def commands() -> int:
        return int((await redis.info("stats"))["total_reads_processed"])

    before = await commands()
    publisher.publish(300)
    await publisher.flushed()
    assert await commands() - before < 10


async def test_idle_writer_asks_seldom(writer: Writer, redis: Redis) -> None:
    """It once asked as fast as Redis answered."""

    async def pings() -> int:
        stats = await redis.info("commandstats")
        return int(stats.get("cmdstat_ping", {}).get("calls", 0))

    clock = asyncio.get_running_loop()
    before, began = await pings(), clock.time()
    while await pings() < before + 3:
        assert clock.time() < began + 60
        await asyncio.sleep(0.05)
    assert clock.time() - began > 0.9  # three questions, half a second apart


def own_redis(directory: Path) -> AbstractContextManager[str]:
    """A server of this test's own; the next one in the same directory has the same URL."""
    return redis_server.running(redis_server.find_binary(), directory=directory)


@pytest.fixture
def directory() -> Iterator[Path]:
    with redis_server.fresh_directory() as directory:
        yield directory


class TestAnotherServer:
    """One that was restarted, or promoted; `Link` tells it apart."""

    async def test_what_was_not_answered_is_dropped_and_the_owner_asked_what_it_needs(
        self, directory: Path
    ) -> None:
        replies: list[Any] = []

        def changed() -> None:
            replies.append("changed")
            own.submit((b"ECHO", b"first"), replies.append)

        with ExitStack() as first_server:
            url = first_server.enter_context(own_redis(directory))
            link = Link(url, timeout_s=5.0)
            own = Writer(link, tick_s=0.001, on_server_changed=changed)
            async with background(own.run()):
                await own.flushed()
                first_server.close()
                own.submit((b"ECHO", b"old"), replies.append)
                await until(lambda: not own.is_answering)
                own.submit((b"ECHO", b"older"), replies.append)
                with own_redis(directory):
                    await until(lambda: len(replies) == 4)
                    await own.flushed()
                    assert own.is_answering
            await link.close()
        old, older, *rest = replies
        assert isinstance(old, ServerChangedError)
        assert isinstance(older, ServerChangedError)
        assert rest == ["changed", b"first"]

    async def test_nobody_to_ask_has_requests_repeated(self, directory: Path) -> None:
        replies: list[Any] = []
        with ExitStack() as first_server:
            url = first_server.enter_context(own_redis(directory))
            link = Link(url, timeout_s=5.0)
            own = Writer(link, tick_s=0.001)
            async with background(own.run()):
                await own.flushed()
                first_server.close()
                own.submit((b"ECHO", b"kept"), replies.append)
                await until(lambda: not own.is_answering)
                with own_redis(directory):
                    await until(lambda: replies == [b"kept"])
            await link.close()


async def test_each_reason_why_redis_cannot_be_reached_is_told_once(
    redis: Any, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The first may be a time-out, and only the second what somebody has to mend."""
    await redis.execute_command("ACL", "SETUSER", "us", "reset", "on", ">other", "~*", "+@all")
    divider = "&" if "?" in redis_url else "?"
    link = Link(f"{redis_url}{divider}username=us&password=secret", timeout_s=5.0)
    writer = Writer(link, tick_s=0.001)

    def has_told(text: str) -> bool:
        return text in caplog.text

    async with background(writer.run()):
        await until(lambda: has_told("invalid username-password pair"))
        await redis.execute_command("ACL", "SETUSER", "us", ">secret", "-script")
        await until(lambda: has_told("no permissions to run the 'script"))
        await redis.execute_command("ACL", "SETUSER", "us", "+script")
        await asyncio.wait_for(writer.flushed(), 60)
    await link.close()
    await redis.execute_command("ACL", "DELUSER", "us")
    assert caplog.text.count("what is to be written is kept") == 2
