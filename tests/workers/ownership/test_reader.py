from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from redis.asyncio import Redis

from common.events import DtmfReceived
from common.link import Link
from common.process import background
from tests.workers.calls import ENDED, Rig, announce, append, claim, eventually
from workers.agent import Agent
from workers.call import Call
from workers.ownership import reader as reader_module
from workers.ownership.owned_call import OwnedCall
from workers.ownership.reader import EventReader

OpenRig = Callable[..., Rig]


class Keys(Agent):
    """Collects the digits it was told; `#` holds it up until it is let go."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.digits = ""

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        self.digits += dtmf.digit
        if dtmf.digit == "#":
            await self.go_on.wait()


def agent_of(rig: Rig) -> Keys:
    scene = rig.runner._scene
    assert scene is not None
    assert isinstance(scene.agent, Keys)
    return scene.agent


def heard_by(rig: Rig) -> str:
    return agent_of(rig).digits if rig.runner._scene is not None else ""


def has_heard(rig: Rig, digits: str) -> bool:
    return heard_by(rig) == digits


@pytest.fixture
def unreadable() -> list[OwnedCall]:
    return []


@pytest.fixture
async def reader(redis_url: str, unreadable: list[OwnedCall]) -> AsyncIterator[EventReader]:
    link = Link(redis_url, timeout_s=10.0)
    reader = EventReader(link, tick_s=0.002, on_unreadable=unreadable.append)
    async with background(reader.run()):
        yield reader
    await link.close()


def digits(text: str) -> list[DtmfReceived]:
    return [DtmfReceived(digit) for digit in text]


async def test_events_of_many_calls_arrive_in_order(
    rig: OpenRig, link: Link, reader: EventReader
) -> None:
    rigs = {name: rig(Keys) for name in ("a", "b", "c")}
    for name, each in rigs.items():
        keys = await announce(link, name)
        reader.follow(OwnedCall(keys, name, "edge", each.runner), after=0)
        await append(link, keys, *digits("12345"))
    for each in rigs.values():
        await eventually(partial(has_heard, each, "12345"))


async def test_a_call_is_read_from_its_cursor_on(
    rig: OpenRig, link: Link, reader: EventReader
) -> None:
    keys = await announce(link, "a")
    await append(link, keys, *digits("1234"))
    call = rig(Keys, claim(cursor=3))
    reader.follow(OwnedCall(keys, "t", "edge", call.runner), after=3)
    await eventually(lambda: call.runner.backlog == 0 and heard_by(call) == "34")


async def test_a_forgotten_call_is_not_read_and_the_others_are(
    rig: OpenRig, link: Link, reader: EventReader
) -> None:
    left, kept = rig(Keys), rig(Keys)
    left_keys, kept_keys = await announce(link, "left"), await announce(link, "kept")
    left_call = OwnedCall(left_keys, "t", "edge", left.runner)
    reader.follow(left_call, after=0)
    reader.follow(OwnedCall(kept_keys, "t", "edge", kept.runner), after=0)
    await append(link, kept_keys, *digits("1"))
    await eventually(lambda: heard_by(kept) == "1")
    reader.forget(left_call)
    await append(link, left_keys, *digits("1"))
    await append(link, kept_keys, *digits("2"), first=3)
    await eventually(lambda: heard_by(kept) == "12")
    assert heard_by(left) == ""


async def test_a_call_that_lags_is_not_read_further_until_it_has_caught_up(
    rig: OpenRig, link: Link, reader: EventReader
) -> None:
    many = reader_module._MAX_BACKLOG * 2
    keys = await announce(link, "slow")
    slow = rig(Keys)
    reader.follow(OwnedCall(keys, "t", "edge", slow.runner), after=0)
    await append(link, keys, *digits("#" + "1" * many + "2"))
    await eventually(lambda: bool(reader._lagging))
    assert slow.runner.backlog < many
    agent_of(slow).go_on.set()
    await eventually(lambda: heard_by(slow) == "#" + "1" * many + "2")
    assert not reader._lagging


async def test_a_call_that_lags_holds_up_no_other(
    rig: OpenRig, link: Link, reader: EventReader
) -> None:
    slow_keys, quick_keys = await announce(link, "slow"), await announce(link, "quick")
    slow, quick = rig(Keys), rig(Keys)
    reader.follow(OwnedCall(slow_keys, "t", "edge", slow.runner), after=0)
    reader.follow(OwnedCall(quick_keys, "t", "edge", quick.runner), after=0)
    await append(link, slow_keys, *digits("#" + "1" * 400))
    await append(link, quick_keys, *digits("12"), ENDED)
    await quick.ended()
    assert heard_by(slow) == "#"


async def test_a_call_whose_events_are_no_stream_is_told_and_holds_up_no_other(
    rig: OpenRig,
    link: Link,
    reader: EventReader,
    unreadable: list[OwnedCall],
    redis: Redis,
) -> None:
    bad_keys, good_keys = await announce(link, "bad"), await announce(link, "good")
    good = rig(Keys)
    await redis.set(bad_keys.events, "no stream")
    bad_call = OwnedCall(bad_keys, "t", "edge", rig(Keys).runner)
    reader.follow(bad_call, after=0)
    reader.follow(OwnedCall(good_keys, "t", "edge", good.runner), after=0)
    await append(link, good_keys, *digits("12"))
    await eventually(lambda: heard_by(good) == "12")
    assert unreadable == [bad_call]


async def test_a_broken_connection_loses_and_repeats_nothing(
    rig: OpenRig, link: Link, reader: EventReader, redis: Redis
) -> None:
    keys = await announce(link, "a")
    call = rig(Keys)
    reader.follow(OwnedCall(keys, "t", "edge", call.runner), after=0)
    for number, digit in enumerate("123456789", start=2):
        await append(link, keys, DtmfReceived(digit), first=number)
        if digit in "36":
            await redis.client_kill_filter(_type="normal", skipme=True)
            await link.close()
    await eventually(lambda: heard_by(call) == "123456789")


async def test_without_calls_the_reader_rests(reader: EventReader, redis: Redis) -> None:
    async def reads() -> int:
        stats = await redis.info("commandstats")
        return int(stats.get("cmdstat_xread", {}).get("calls", 0))

    before = await reads()
    for _ in range(20):
        await redis.ping()
    assert await reads() == before
