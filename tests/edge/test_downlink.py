from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common.commands import ClearPlayback, Command, SetMark
from common.keys import CallKeys, lanes
from common.link import Link
from common.process import background
from common.wire import encode_command
from edge.downlink import Downlink, Subscriber
from tests.chaos_proxy import ChaosProxy
from tests.edge.calls import counted
from tests.waiting import until

LANE = lanes("downlink", 1)[0]


class Listener:
    """A call at this edge, and a worker that writes commands to it."""

    def __init__(self, downlink: Downlink, redis: Redis, call_id: str) -> None:
        self.keys: CallKeys = LANE.keys(call_id)
        self.heard: list[Command] = []
        self.polls = 0
        self.read_up_to: list[int] = []
        self._redis = redis
        self._written = 0
        self.is_unreadable = False
        downlink.subscribe(
            self.keys, Subscriber(self.deliver, self.read_up_to.append, self.unreadable)
        )

    def deliver(self, commands: list[Command]) -> None:
        self.polls += 1
        self.heard += commands

    def unreadable(self) -> None:
        self.is_unreadable = True

    async def write(self, *entries: bytes) -> None:
        async with self._redis.pipeline(transaction=True) as pipeline:
            for entry in entries:
                self._written += 1
                pipeline.xadd(self.keys.commands, {"e": entry}, id=f"{self._written}-0")
            await pipeline.execute()

    async def has_heard(self, *marks: str) -> None:
        await until(lambda: self.heard == [SetMark(mark) for mark in marks])


def marks(*names: object) -> list[bytes]:
    return [encode_command(SetMark(str(name))) for name in names]


@pytest.fixture
async def downlink(proxy: ChaosProxy) -> AsyncIterator[Downlink]:
    link = Link(proxy.url, timeout_s=5.0)
    downlink = Downlink(link, tick_s=0.001)
    async with background(downlink.run()):
        yield downlink
    await link.close()


async def test_each_call_gets_its_own_commands_in_order(downlink: Downlink, redis: Redis) -> None:
    first, second = (Listener(downlink, redis, call) for call in ("c1", "c2"))
    await first.write(*marks("a", "b"))
    await second.write(*marks("x"))
    await first.write(*marks("c"))
    await first.has_heard("a", "b", "c")
    await second.has_heard("x")


async def test_commands_written_before_the_call_was_followed_are_heard(
    downlink: Downlink, redis: Redis
) -> None:
    await redis.xadd(LANE.keys("c1").commands, {"e": marks("early")[0]}, id="1-0")
    await Listener(downlink, redis, "c1").has_heard("early")


async def test_burst_is_heard_whole_in_few_polls(downlink: Downlink, redis: Redis) -> None:
    call = Listener(downlink, redis, "c1")
    await call.write(*marks(*range(1000)))
    await call.has_heard(*map(str, range(1000)))
    assert call.polls == 4


async def test_entry_that_cannot_be_read_is_counted_and_the_next_one_heard(
    downlink: Downlink, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("trunkline_edge_commands_unreadable_total")
    call = Listener(downlink, redis, "c1")
    await call.write(b"\xc1secret", *marks("a"))
    await call.has_heard("a")
    assert counted("trunkline_edge_commands_unreadable_total") == before + 1
    ours = [record for record in caplog.records if record.name == "edge.downlink"]
    assert [record.levelno for record in ours] == [logging.ERROR]
    assert "secret" not in caplog.text


async def test_call_that_is_not_followed_any_more_hears_nothing(
    downlink: Downlink, redis: Redis
) -> None:
    gone, alive = (Listener(downlink, redis, call) for call in ("c1", "c2"))
    downlink.unsubscribe(gone.keys)
    await gone.write(*marks("a"))
    await alive.write(*marks("b"))
    await alive.has_heard("b")
    assert gone.heard == []


async def test_what_was_read_is_told_with_every_poll(downlink: Downlink, redis: Redis) -> None:
    call = Listener(downlink, redis, "c1")
    for n in range(20):
        await call.write(*marks(n))
    await call.has_heard(*map(str, range(20)))
    assert len(call.read_up_to) == call.polls
    assert call.read_up_to == sorted(call.read_up_to)
    assert call.read_up_to[-1] == 20


async def test_call_whose_commands_are_no_stream_is_told_and_the_others_go_on(
    downlink: Downlink, redis: Redis
) -> None:
    bad, good = (Listener(downlink, redis, call) for call in ("c1", "c2"))
    await redis.set(bad.keys.commands, "no stream")
    await good.write(*marks("a"))
    await good.has_heard("a")
    assert bad.is_unreadable
    assert not good.is_unreadable


async def test_commands_of_an_outage_are_heard_after_it_each_once(
    downlink: Downlink, redis: Redis, proxy: ChaosProxy
) -> None:
    call = Listener(downlink, redis, "c1")
    await call.write(*marks("a"))
    await call.has_heard("a")
    await proxy.go_away()
    await call.write(*marks("b"))
    await proxy.come_back()
    lost = proxy.drop_next_reply(to=b"XREAD")
    await lost.wait()
    await call.write(encode_command(ClearPlayback()))
    await until(lambda: call.heard == [SetMark("a"), SetMark("b"), ClearPlayback()])
