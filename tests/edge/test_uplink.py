from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from common.audio import AudioFormat
from common.events import CallStarted, DtmfReceived
from common.keys import lanes
from common.link import Link
from common.process import background
from common.wire import EventEnvelope, decode_event
from common.writer import Writer
from edge.uplink import CallEvents

KEYS = lanes("uplink", 1)[0].keys("c1")
STARTED = CallStarted("dummy", AudioFormat.pcmu())


class Call:
    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.times_gone = 0
        self.events = CallEvents(writer, KEYS, on_gone=self.gone)

    def gone(self) -> None:
        self.times_gone += 1

    async def announce(self) -> None:
        self.events.announce("edge-1", STARTED, at_ms=1)
        await self.writer.flushed()

    async def append(self, digit: str, *, at_ms: int = 2) -> None:
        self.events.append(DtmfReceived(digit), at_ms=at_ms)
        await self.writer.flushed()

    async def withdraw(self) -> bool:
        answers: list[bool] = []
        self.events.withdraw(answers.append)
        await self.writer.flushed()
        (answer,) = answers
        return answer


@pytest.fixture
async def call(redis_url: str) -> AsyncIterator[Call]:
    link = Link(redis_url, timeout_s=2.0)
    writer = Writer(link, tick_s=0.001)
    async with background(writer.run()):
        yield Call(writer)
    await link.close()


async def stored(redis: Redis) -> list[tuple[bytes, EventEnvelope]]:
    entries: Any = await redis.xrange(KEYS.events)
    return [(entry_id, decode_event(fields[b"e"])) for entry_id, fields in entries]


async def test_events_are_numbered_and_dated(call: Call, redis: Redis) -> None:
    await call.announce()
    await call.append("1", at_ms=20)
    await call.append("2", at_ms=40)
    assert await stored(redis) == [
        (b"1-0", EventEnvelope(1, STARTED)),
        (b"2-0", EventEnvelope(20, DtmfReceived("1"))),
        (b"3-0", EventEnvelope(40, DtmfReceived("2"))),
    ]
    assert call.times_gone == 0


async def test_event_that_was_stored_by_an_earlier_try_is_no_fault(
    call: Call, redis: Redis
) -> None:
    await call.announce()
    await redis.xadd(KEYS.events, {"e": "already"}, id="2-0")
    await call.append("1")
    assert call.times_gone == 0


async def test_call_whose_keys_have_vanished_is_told_so(call: Call, redis: Redis) -> None:
    await call.announce()
    await redis.flushdb()
    await call.append("1")
    assert call.times_gone == 1
    assert await redis.keys() == []


async def test_call_whose_events_redis_refuses_is_told_so(call: Call, redis: Redis) -> None:
    await call.announce()
    await redis.set(KEYS.events, "no stream")
    await call.append("1")
    assert call.times_gone == 1


async def test_call_that_nobody_took_is_withdrawn(call: Call, redis: Redis) -> None:
    await call.announce()
    assert await call.withdraw()
    assert await redis.exists(KEYS.call, KEYS.events) == 0


async def test_call_that_somebody_took_is_not(call: Call, redis: Redis) -> None:
    await call.announce()
    await redis.hset(KEYS.call, "claims", 1)
    assert not await call.withdraw()


async def test_commands_that_were_read_are_trimmed_now_and_then(call: Call, redis: Redis) -> None:
    for n in range(1, 201):
        await redis.xadd(KEYS.commands, {"e": str(n)}, id=f"{n}-0")
    for read_up_to, left in [(63, 200), (64, 136), (100, 136), (190, 10), (191, 10)]:
        call.events.commands_read(read_up_to)
        await call.writer.flushed()
        assert await redis.xlen(KEYS.commands) == left
