from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from common import bus
from common.bus import Claim, Taken
from common.commands import HangUp, SetMark
from common.events import CallEnded, DtmfReceived, EndReason, Event
from common.keys import CallKeys
from common.link import Link
from common.process import background
from common.writer import Writer
from tests.workers.calls import (
    ENDED,
    LANE,
    announce,
    append,
    audio,
    commands_in,
    eventually,
    within,
)
from workers import metrics
from workers.agent import Agent
from workers.call import Call
from workers.ownership.capacity import Capacity
from workers.ownership.claims import Claims
from workers.ownership.owned_calls import OwnedCalls
from workers.ownership.reader import EventReader
from workers.running.call_runner import Surroundings
from workers.running.gate import Gate
from workers.running.last_words import last_words
from workers.settings import WorkerSettings

ME = "worker-1"

ENDS: list[CallEnded] = []
MAY_END: list[asyncio.Event] = []
SPAWNED: list[Callable[[], Coroutine[Any, Any, None]]] = []


class Counting(Agent):
    class State(msgspec.Struct):
        pressed: int = 0

    async def on_start(self, call: Call) -> None:
        if SPAWNED:
            call.spawn(SPAWNED[0]())

    async def on_resumed(self, call: Call) -> None:
        await call.mark(f"resumed {call.state.pressed}")

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        call.state.pressed += 1
        await call.mark(f"{dtmf.digit} {call.state.pressed}")
        if dtmf.digit == "*":
            await asyncio.Event().wait()
        if dtmf.digit == "#":
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        while dtmf.digit == "D" and not MAY_END[0].is_set():
            with suppress(asyncio.CancelledError):
                await MAY_END[0].wait()

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        ENDS.append(stop)


class Desk:
    """Owned calls with everything that they need, without a lane round them."""

    def __init__(self, redis_url: str, writer: Writer, executor: ThreadPoolExecutor) -> None:
        self.link = Link(redis_url, timeout_s=2.0)
        self.capacity = Capacity(10)
        self.gate = Gate()
        self.writer = writer
        self.reader = EventReader(
            self.link, tick_s=0.002, on_unreadable=lambda call: self.calls.given_up(call)
        )
        self.calls = OwnedCalls(
            WorkerSettings(lease_ms=1000),
            Surroundings(Counting, executor, self.gate, last_words("")),
            self.capacity,
            writer,
            self.reader,
            on_got_further=lambda call_id: self.claims.got_further(call_id),
        )
        self.claims = Claims(
            LANE, ME, writer, self.capacity, self.calls.own, self.calls.is_said_to_be_ours
        )

    async def own(self, keys: CallKeys, *, suspects: bool = False, number: int = 1) -> None:
        token = f"{ME}:{number}"
        claim = bus.read_claim(await self.writer.ask(bus.claim(keys, token, suspects=suspects)))
        assert isinstance(claim, Claim)
        self.capacity.take()
        self.calls.own(keys, token, claim)

    async def is_rid_of_all(self) -> None:
        await eventually(lambda: not self.calls._calls and self.capacity.running == 0)
        await self.writer.flushed()

    async def hands_over(self) -> None:
        """All that it has; then it may own calls again, as another worker would."""
        self.gate.shut()
        await self.calls.hand_over()
        await self.is_rid_of_all()
        self.gate = Gate()
        self.calls._surroundings = self.calls._surroundings._replace(gate=self.gate)


@pytest.fixture
async def desk(redis_url: str, writer: Writer, executor: ThreadPoolExecutor) -> AsyncIterator[Desk]:
    ENDS.clear()
    MAY_END[:] = [asyncio.Event()]
    SPAWNED.clear()
    desk = Desk(redis_url, writer, executor)
    async with background(desk.reader.run(), desk.calls.run()):
        yield desk
        MAY_END[0].set()
        await desk.calls.leave_behind()
    await desk.link.close()


class Caller:
    """The far end of a call of the desk's: what its edge stores, and what is in Redis for it."""

    def __init__(self, keys: CallKeys, link: Link, redis: Redis) -> None:
        self.keys = keys
        self._link = link
        self._redis = redis
        self._stored = 1

    async def sends(self, *events: Event) -> None:
        await append(self._link, self.keys, *events, first=self._stored + 1)
        self._stored += len(events)

    async def has_marks(self, *names: str) -> None:
        async def is_so() -> bool:
            return await commands_in(self._redis, self.keys) == [SetMark(name) for name in names]

        await eventually(is_so)

    async def owner(self) -> Any:
        return await self._redis.hget(self.keys.call, "token")

    async def gets_owner(self, token: str) -> None:
        await self._redis.hset(self.keys.call, "token", token)

    async def is_gone(self) -> bool:
        keys = self.keys
        return not await self._redis.exists(keys.call, keys.events, keys.commands)


@pytest.fixture
async def caller(desk: Desk, link: Link, redis: Redis) -> Caller:
    """Of a call that the desk owns."""
    keys = await announce(link, "c1")
    await desk.own(keys)
    return Caller(keys, link, redis)


async def test_a_call_is_run_and_finished(desk: Desk, caller: Caller) -> None:
    await caller.sends(DtmfReceived("1"))
    await caller.has_marks("1 1")
    await caller.sends(ENDED)
    await desk.is_rid_of_all()
    assert await caller.is_gone()


async def test_handed_over_a_call_goes_on_where_it_was(desk: Desk, caller: Caller) -> None:
    await caller.sends(DtmfReceived("1"), audio(1))
    await caller.has_marks("1 1")
    before = metrics.HANDOVERS._value.get()
    await desk.hands_over()
    assert metrics.HANDOVERS._value.get() == before + 1
    assert await caller.owner() == b""
    await desk.own(caller.keys, number=2)
    await caller.sends(DtmfReceived("2"))
    await caller.has_marks("1 1", "resumed 1", "2 2")


async def test_a_handler_in_the_middle_is_run_again_and_issues_the_rest(
    desk: Desk, caller: Caller, redis: Redis
) -> None:
    await caller.sends(DtmfReceived("*"))
    await caller.has_marks("* 1")
    await desk.hands_over()
    assert await redis.hmget(caller.keys.call, "token", "partial") == [b"", b"1"]
    await desk.own(caller.keys, number=2)
    await caller.has_marks("* 1", "resumed 0")


async def test_calls_of_a_dead_edge_are_ended_once(desk: Desk, caller: Caller) -> None:
    desk.calls.end_calls_of(["edge-2"])
    desk.calls.end_calls_of(["edge-1"])
    desk.calls.end_calls_of(["edge-1"])
    await desk.is_rid_of_all()
    assert [end.reason for end in ENDS] == [EndReason.EDGE_LOST]
    await desk.writer.flushed()
    assert await caller.is_gone()


async def test_verified_calls_stay_and_others_go(desk: Desk, link: Link, redis: Redis) -> None:
    ours, others, forgotten = [await announce(link, name) for name in ("a", "b", "c")]
    for number, keys in enumerate((ours, others, forgotten), 1):
        await desk.own(keys, number=number)
    await redis.hset(others.call, "token", "worker-2:1")
    await redis.delete(forgotten.call)
    await desk.calls.verify(may_restore=False)
    await eventually(lambda: desk.capacity.running == 1)
    stays = Caller(ours, link, redis)
    await stays.sends(DtmfReceived("1"))
    await stays.has_marks("1 1")
    assert await Caller(others, link, redis).owner() == b"worker-2:1"


async def test_a_call_that_redis_has_forgotten_is_given_back(
    desk: Desk, caller: Caller, redis: Redis
) -> None:
    await caller.sends(DtmfReceived("1"))
    await caller.has_marks("1 1")
    await redis.delete(
        caller.keys.call, caller.keys.commands, caller.keys.events, caller.keys.calls
    )
    await desk.calls.verify(may_restore=True)
    again = bus.announce(caller.keys, "edge-1", b"start", keep_ms=60_000)
    assert await desk.writer.ask(again) == 1

    async def is_ours() -> bool:
        return bool(await caller.owner() == f"{ME}:1".encode())

    await eventually(is_ours)
    await caller.has_marks("1 1")


async def test_a_call_that_killed_three_workers_is_ended_without_its_agent(
    desk: Desk, link: Link, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    keys = await announce(link, "c1")
    for number in range(3):
        await desk.writer.ask(bus.claim(keys, f"dead-{number}:1", suspects=True))
    await desk.own(keys, suspects=True)
    hang_up = HangUp(EndReason.AGENT_FAILED, "killed its workers")

    async def is_ended() -> bool:
        return await commands_in(redis, keys) == [hang_up]

    await eventually(is_ended)
    assert "its workers die of it" in caplog.text
    await append(link, keys, DtmfReceived("1"), ENDED)
    await desk.is_rid_of_all()
    assert ENDS == []


async def test_events_that_are_no_stream_end_the_call(desk: Desk, link: Link, redis: Redis) -> None:
    keys = await announce(link, "c1")
    await redis.delete(keys.events)
    await redis.set(keys.events, "no stream")
    await desk.own(keys)
    await desk.is_rid_of_all()
    assert await redis.exists(keys.call, keys.events) == 0


async def test_a_call_that_is_gone_from_redis_for_good_ends_and_stays_so(
    desk: Desk, caller: Caller, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its edge does not announce it again; the agent hears of the end, and nobody else runs it."""
    monkeypatch.setattr("workers.ownership.restoration._PATIENCE_S", 0.2)
    await redis.flushdb()
    await desk.calls.verify(may_restore=True)
    await desk.is_rid_of_all()
    (ended,) = ENDS
    assert ended == CallEnded(EndReason.EDGE_LOST, "no edge knows the call")
    await desk.writer.flushed()
    assert bus.has_ended(await desk.writer.ask(bus.announce(caller.keys, "edge-1", b"start")))


async def test_a_call_that_we_have_released_is_not_taken_back(desk: Desk, caller: Caller) -> None:
    handing_over = asyncio.create_task(desk.calls.hand_over())

    async def is_released() -> bool:
        return bool(await caller.owner() == b"")

    while not handing_over.done():
        await desk.calls.verify(may_restore=True)
    await eventually(is_released)
    await desk.is_rid_of_all()
    assert await caller.owner() == b""


async def test_a_handler_that_does_not_hear_of_the_loss_is_the_last_one(
    desk: Desk, caller: Caller
) -> None:
    await caller.sends(DtmfReceived("#"), DtmfReceived("1"), ENDED)
    await caller.has_marks("# 1")
    await caller.gets_owner("worker-2:1")
    await desk.calls.verify(may_restore=False)
    await desk.is_rid_of_all()
    assert ENDS == []


async def test_a_call_that_comes_back_while_it_is_let_go_is_run_anew(
    desk: Desk, caller: Caller
) -> None:
    """Taken over by another, who hands it over at once, before our agent has let go of it."""
    await caller.sends(DtmfReceived("1"))
    await caller.has_marks("1 1")
    (old,) = desk.calls._calls
    await caller.gets_owner("")
    await desk.own(caller.keys, number=2)
    desk.calls.lost(old)
    await eventually(lambda: desk.capacity.running == 1)
    await caller.sends(DtmfReceived("2"), ENDED)
    await desk.is_rid_of_all()
    assert len(ENDS) == 1
    await desk.writer.flushed()
    assert await caller.is_gone()


async def test_a_call_that_has_ended_is_not_given_back(
    desk: Desk, caller: Caller, redis: Redis
) -> None:
    """Its last commit is refused when it is over; restored, nobody would ever end it."""
    await caller.sends(DtmfReceived("1"))
    await caller.has_marks("1 1")
    await redis.delete(caller.keys.call)
    slow = asyncio.create_task(desk.writer.ask((b"BLPOP", b"nothing", b"0.3")))
    await caller.sends(DtmfReceived("2"))
    (call,) = desk.calls._calls
    await eventually(lambda: call.runner.repeat() is not None)
    await caller.sends(ENDED)
    await desk.is_rid_of_all()
    await slow
    await desk.writer.flushed()
    assert not desk.calls._restoration._asked
    assert not desk.calls._committer._refused


async def test_a_call_that_is_forgotten_while_it_ends_is_not_given_back(
    desk: Desk, caller: Caller, redis: Redis
) -> None:
    await redis.delete(caller.keys.call)
    slow = asyncio.create_task(desk.writer.ask((b"BLPOP", b"nothing", b"0.3")))
    verified = asyncio.create_task(desk.calls.verify(may_restore=True))
    await caller.sends(ENDED)
    await desk.is_rid_of_all()
    await asyncio.gather(slow, verified)
    assert not desk.calls._restoration._asked


async def test_a_call_out_of_step_is_ended_for_nobody_else_will(
    desk: Desk, caller: Caller, redis: Redis
) -> None:
    await redis.hset(caller.keys.call, "commit", 99)
    await caller.sends(DtmfReceived("1"))
    await desk.is_rid_of_all()
    assert await caller.is_gone()


async def test_a_call_whose_end_redis_has_lost_is_ended_again(
    desk: Desk, link: Link, redis: Redis
) -> None:
    """As after a failover; the calls that do run are left alone."""
    entries: dict[str, Taken] = {}
    await link.execute([bus.create_group(LANE)])
    for name in ("ended", "running"):
        keys = await announce(link, name)
        (reply,) = await link.execute([bus.take(LANE, ME, block_ms=1)])
        (entries[name],) = bus.read_taken(reply)
        if name == "running":
            await desk.own(keys, number=78)
    ended, running = LANE.keys("ended"), LANE.keys("running")
    await redis.hset(ended.call, mapping={"token": f"{ME}:77", "claims": 1})
    desk.claims.claim_all(entries.values())

    async def is_gone() -> bool:
        return not await redis.exists(ended.call)

    await eventually(is_gone)
    await desk.writer.flushed()
    assert await redis.hget(running.call, "token") == f"{ME}:78".encode()
    assert desk.capacity.running == 1
    assert await redis.xlen(LANE.calls) == 1


async def test_a_call_that_is_taken_while_the_gate_is_closed_does_not_begin(
    desk: Desk, caller: Caller
) -> None:
    """Not even with `on_resumed`; as when its claim is answered after SIGTERM."""
    await caller.sends(DtmfReceived("1"))
    await caller.has_marks("1 1")
    (call,) = desk.calls._calls
    desk.calls.lost(call)
    await desk.is_rid_of_all()
    await caller.gets_owner("")
    desk.gate.shut()
    await desk.own(caller.keys, number=2)
    await desk.calls.hand_over()
    await desk.is_rid_of_all()
    await caller.has_marks("1 1")
    assert await caller.owner() == b""


async def test_a_call_that_has_ended_is_not_handed_over_though_its_work_goes_on(
    desk: Desk, caller: Caller, redis: Redis
) -> None:
    """Or its end would be handled twice."""
    has_begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    SPAWNED.append(slow)
    await has_begun.wait()
    await caller.sends(ENDED)
    await eventually(lambda: bool(ENDS))
    desk.gate.shut()
    asyncio.get_running_loop().call_later(0.1, may_end.set)
    await desk.calls.hand_over()
    await desk.is_rid_of_all()
    assert await caller.is_gone()
    assert await redis.xlen(LANE.calls) == 0


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    """The curfew falls at once."""
    monkeypatch.setattr("workers.ownership.curfew._LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("workers.ownership.curfew._CANCELLED_S", 0.05)
    desk.calls._curfew._timeout_s = 0.05


@pytest.mark.parametrize("behind", [0, 1000])
@pytest.mark.usefixtures("soon")
async def test_a_call_that_is_over_is_finished_though_its_handler_goes_on(
    desk: Desk, caller: Caller, behind: int
) -> None:
    """Also where the handler has kept the end, far behind, from being read."""
    await caller.sends(DtmfReceived("*"), *[audio(1)] * behind, ENDED)
    await desk.is_rid_of_all()
    assert len(ENDS) == 1
    await desk.writer.flushed()
    assert await caller.is_gone()


@pytest.mark.usefixtures("soon")
async def test_a_handler_that_cannot_be_cancelled_keeps_neither_call_nor_room(
    desk: Desk, caller: Caller
) -> None:
    spawned_has_ended = asyncio.Event()

    async def beside() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            spawned_has_ended.set()

    SPAWNED.append(beside)
    await caller.sends(DtmfReceived("D"))
    await caller.has_marks("D 1")
    (call,) = desk.calls._calls
    task = desk.calls._calls[call]
    await caller.sends(ENDED)
    await desk.is_rid_of_all()
    assert await caller.is_gone()
    await within(spawned_has_ended.wait())
    assert not task.done()
    MAY_END[0].set()
    with pytest.raises(asyncio.CancelledError):
        await within(task)
    assert desk.capacity.running == 0
    assert ENDS == []


@pytest.mark.usefixtures("soon")
async def test_a_call_that_is_lost_keeps_no_room_either(desk: Desk, caller: Caller) -> None:
    await caller.sends(DtmfReceived("D"))
    await caller.has_marks("D 1")
    await caller.gets_owner("worker-2:1")
    await desk.calls.verify(may_restore=False)
    await desk.is_rid_of_all()
    assert await caller.owner() == b"worker-2:1"
