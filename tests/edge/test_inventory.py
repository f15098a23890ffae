from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from common.audio import AudioFormat
from common.events import CallEnded, CallStarted, EndReason
from common.keys import TTL_S, lanes
from common.process import background
from common.writer import Writer
from edge.inventory import Inventory
from edge.roll import Roll
from edge.uplink import CallEvents, Fates, Terms
from tests.waiting import until

LANE = lanes("inventory", 1)[0]
TERMS = Terms("edge-1", ring_s=10.0, take_s=60.0, owner_s=1.0)
STARTED = CallStarted("dummy", AudioFormat.pcmu())


@pytest.fixture
def roll() -> Roll:
    return Roll(calls_per_s=200)


@pytest.fixture
def begin(writer: Writer, roll: Roll) -> Callable[[str], CallEvents]:
    """Silent calls."""

    def begin(call_id: str) -> CallEvents:
        fates: Any = Fates(
            lost=lambda: None,
            not_taken=lambda: None,
            vanished=lambda: roll.announce_soon(call),
            done=lambda: roll.discard(call),
        )
        call = CallEvents(writer, LANE.keys(call_id), TERMS, fates)
        roll.add(call)
        call.announce(STARTED, at_ms=1)
        return call

    return begin


@pytest.mark.parametrize("key", ["call", "events"])
async def test_what_is_missing_comes_back(
    writer: Writer, roll: Roll, begin: Callable[[str], CallEvents], redis: Redis, key: str
) -> None:
    calls = [begin(f"c{n}") for n in range(3)]
    await writer.flushed()
    inventory = Inventory(writer, roll)
    await inventory.take()
    lost: bytes = getattr(calls[1].keys, key)
    await redis.delete(lost)
    await inventory.take()

    async def is_back() -> bool:
        return bool(await redis.exists(lost))

    await until(is_back)
    entries: Any = await redis.xrange(LANE.calls)
    dispatched = [fields[b"e"] for _, fields in entries]
    assert dispatched == [b"c0", b"c1", b"c2"] + [b"c1"] * (key == "call")


async def test_nothing_is_asked_where_there_is_no_call(
    roll: Roll, begin: Callable[[str], CallEvents], writer: Writer, redis: Redis
) -> None:
    call = begin("c1")
    call.append(CallEnded(EndReason.CALLER_HUNG_UP), at_ms=2)
    await roll.is_empty()
    await redis.config_resetstat()
    await Inventory(writer, roll).take()
    stats: Any = await redis.info("commandstats")
    assert "cmdstat_exists" not in stats


async def test_it_is_taken_now_and_then(
    writer: Writer, roll: Roll, begin: Callable[[str], CallEvents], redis: Redis
) -> None:
    call = begin("c1")
    await writer.flushed()
    async with background(Inventory(writer, roll).run()):
        await redis.flushdb()

        async def is_back() -> bool:
            return await redis.exists(call.keys.call, call.keys.events) == 2

        await until(is_back)


async def test_calls_that_live_do_not_expire(
    writer: Writer, roll: Roll, begin: Callable[[str], CallEvents], redis: Redis
) -> None:
    keys = begin("c1").keys
    await writer.flushed()
    await redis.xadd(keys.commands, {"e": "a command"})
    for key in (keys.call, keys.events, keys.commands):
        await redis.expire(key, 60)
    Inventory(writer, roll).keep()
    await writer.flushed()
    for key in (keys.call, keys.events, keys.commands):
        assert 60 < await redis.ttl(key) <= TTL_S
