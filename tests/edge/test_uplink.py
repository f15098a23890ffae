from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from common import bus
from common.audio import AudioFormat
from common.events import CallEnded, CallStarted, DtmfReceived, EndReason, Event
from common.keys import lanes
from common.link import Link
from common.wire import EventEnvelope, decode_event
from common.writer import Writer
from edge.uplink import CallEvents, Fates, Terms
from tests.edge.calls import counted
from tests.waiting import until

LANE = lanes("uplink", 1)[0]
KEYS = LANE.keys("c1")
STARTED = CallStarted("dummy", AudioFormat.pcmu())
ENDED = CallEnded(EndReason.CALLER_HUNG_UP)
PATIENT = Terms("edge-1", ring_s=10.0, take_s=60.0, owner_s=1.0)


class Call:
    def __init__(self, writer: Writer, terms: Terms = PATIENT) -> None:
        self.writer = writer
        self.fates: list[str] = []
        self.events = CallEvents(writer, KEYS, terms, Fates(*map(self.fate, Fates._fields)))

    def fate(self, name: str) -> Any:
        return lambda: self.fates.append(name)

    async def announce(self) -> None:
        self.events.announce(STARTED, at_ms=1)
        await self.writer.flushed()

    async def append(self, event: str | Event, *, at_ms: int = 2) -> None:
        appended = DtmfReceived(event) if isinstance(event, str) else event
        self.events.append(appended, at_ms=at_ms)
        await self.writer.flushed()

    async def verify(self) -> None:
        self.events.verify()
        await self.writer.flushed()

    async def announce_again(self) -> None:
        self.events.announce_again()
        await self.writer.flushed()


@pytest.fixture
async def bus_link(redis_url: str) -> AsyncIterator[Link]:
    """A worker's."""
    link = Link(redis_url, timeout_s=10.0)
    yield link
    await link.close()


@pytest.fixture
def call(writer: Writer) -> Call:
    return Call(writer)


async def stored(redis: Redis) -> list[tuple[bytes, EventEnvelope]]:
    entries: Any = await redis.xrange(KEYS.events)
    return [(entry_id, decode_event(fields[b"e"])) for entry_id, fields in entries]


async def digits(redis: Redis) -> str:
    """What the stream says between the start and the end, its ids without a gap."""
    entries = await stored(redis)
    assert [entry_id for entry_id, _ in entries] == [b"%d-0" % (n + 1) for n in range(len(entries))]
    events = [envelope.event for _, envelope in entries]
    return "".join(event.digit for event in events if isinstance(event, DtmfReceived))


async def test_events_are_numbered_and_dated(call: Call, redis: Redis) -> None:
    await call.announce()
    await call.append("1", at_ms=20)
    await call.append("2", at_ms=40)
    assert await stored(redis) == [
        (b"1-0", EventEnvelope(1, STARTED)),
        (b"2-0", EventEnvelope(20, DtmfReceived("1"))),
        (b"3-0", EventEnvelope(40, DtmfReceived("2"))),
    ]
    assert call.fates == []


async def test_event_that_was_stored_by_an_earlier_try_is_no_fault(
    call: Call, redis: Redis
) -> None:
    await call.announce()
    await redis.xadd(KEYS.events, {"e": "already"}, id="2-0")
    await call.append("1")
    assert call.fates == []


async def test_call_whose_events_redis_refuses_is_told_so(call: Call, redis: Redis) -> None:
    await call.announce()
    await redis.set(KEYS.events, "no stream")
    await call.append("1")
    assert call.fates == ["done", "lost"]


async def test_call_is_done_when_its_end_is_stored(call: Call, redis: Redis) -> None:
    await call.announce()
    await call.append("1")
    assert call.fates == []
    await call.append(ENDED)
    assert call.fates == ["done"]


class TestNotTaken:
    @pytest.fixture
    def call(self, writer: Writer) -> Call:
        return Call(writer, PATIENT._replace(take_s=0.5, owner_s=0.05))

    async def test_call_that_nobody_took_is_withdrawn(self, call: Call, redis: Redis) -> None:
        await call.announce()
        await until(lambda: call.fates == ["done", "not_taken"])
        assert await redis.exists(KEYS.call, KEYS.events) == 0

    async def test_call_that_somebody_took_is_not(self, call: Call, redis: Redis) -> None:
        before = await script_runs(redis)
        await call.announce()
        await redis.hset(KEYS.call, "claims", 1)
        await asked_to_withdraw(redis, before=before)
        assert call.fates == []

    async def test_call_that_has_ended_meanwhile_leaves_no_key(
        self, call: Call, redis: Redis
    ) -> None:
        await call.announce()
        await call.append(ENDED)

        async def is_gone() -> bool:
            return not await redis.exists(KEYS.call, KEYS.events)

        await until(is_gone)
        assert call.fates == ["done"]

    async def test_call_that_nobody_takes_on_another_server_is_withdrawn_there(
        self, call: Call, redis: Redis
    ) -> None:
        before = await script_runs(redis)
        await call.announce()
        await redis.hset(KEYS.call, "claims", 1)
        await asked_to_withdraw(redis, before=before)
        await redis.flushdb()
        call.events.hold()
        await call.announce_again()
        assert await redis.exists(KEYS.call)
        await until(lambda: call.fates == ["done", "not_taken"])
        assert await redis.exists(KEYS.call, KEYS.events) == 0

    async def test_call_is_not_withdrawn_while_redis_may_have_forgotten_who_took_it(
        self, writer: Writer, redis: Redis
    ) -> None:
        call = Call(writer)
        await call.announce()
        before = call.events._take_timer
        assert before is not None
        await redis.flushdb()
        await call.append("1")
        assert call.fates == ["vanished"]
        assert before.cancelled()
        await call.announce_again()
        after = call.events._take_timer
        assert after is not None
        assert not after.cancelled()
        assert after.when() > before.when()

    async def test_call_that_is_withdrawn_as_it_is_announced_again_leaves_no_key(
        self, writer: Writer, redis: Redis
    ) -> None:
        """For a worker would run it that no caller is left to end."""
        call = Call(writer)
        await call.announce()
        call.events.hold()
        call.events._withdraw()
        await call.announce_again()
        assert call.fates == ["done", "not_taken"]
        await writer.flushed()
        assert await redis.exists(KEYS.call, KEYS.events) == 0
        assert await redis.xlen(KEYS.calls) == 0


async def script_runs(redis: Redis) -> int:
    stats: Any = await redis.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


async def asked_to_withdraw(redis: Redis, *, before: int) -> None:
    """Returns once scripts were run twice since: to announce the call, and to withdraw it, whatever
    that was answered."""

    async def has_run() -> bool:
        return await script_runs(redis) >= before + 2

    await until(has_run)


async def test_commands_that_were_read_are_trimmed_now_and_then(call: Call, redis: Redis) -> None:
    for n in range(1, 201):
        await redis.xadd(KEYS.commands, {"e": str(n)}, id=f"{n}-0")
    for read_up_to, left in [(63, 200), (64, 136), (100, 136), (190, 10), (191, 10)]:
        call.events.commands_read(read_up_to)
        await call.writer.flushed()
        assert await redis.xlen(KEYS.commands) == left


class TestKeysThatVanish:
    """Under a server that lives: flushed, evicted, or deleted by somebody."""

    async def test_call_is_announced_again(self, call: Call, redis: Redis) -> None:
        before = counted("trunkline_edge_vanished_total")
        await call.announce()
        await call.append("1")
        await redis.flushdb()
        await call.append("2")
        await call.append("3")
        assert call.fates == ["vanished"]
        assert counted("trunkline_edge_vanished_total") == before + 1
        assert await redis.keys() == []
        await call.announce_again()
        await call.append("4")
        assert await digits(redis) == "1234"
        assert call.fates == ["vanished"]

    async def test_owner_has_time_to_notice(self, call: Call, redis: Redis) -> None:
        await call.announce()
        await redis.flushdb()
        await call.append("1")
        await call.announce_again()
        kept_until = float(await redis.hget(KEYS.call, "kept_until") or 0)
        entries: Any = await redis.xrange(KEYS.calls)
        ((entry_id, _),) = entries
        announced_at = float(entry_id.partition(b"-")[0])
        assert kept_until - announced_at == pytest.approx(8000, abs=100)

    async def test_several_events_at_once_tell_of_it_once(self, call: Call, redis: Redis) -> None:
        await call.announce()
        await redis.flushdb()
        for digit in "123":
            call.events.append(DtmfReceived(digit), at_ms=2)
        await call.writer.flushed()
        assert call.fates == ["vanished"]
        await call.announce_again()
        assert await digits(redis) == "123"

    async def test_end_that_found_nothing_is_stored_after_all(
        self, call: Call, redis: Redis
    ) -> None:
        await call.announce()
        await redis.flushdb()
        await call.append(ENDED)
        assert call.fates == ["vanished"]
        await call.announce_again()
        assert call.fates == ["vanished", "done"]
        assert [envelope.event for _, envelope in await stored(redis)] == [STARTED, ENDED]

    @pytest.mark.parametrize("lost", [(KEYS.call,), (KEYS.events,), (KEYS.call, KEYS.events)])
    async def test_of_a_silent_call_are_missed(
        self, call: Call, redis: Redis, lost: tuple[bytes, ...]
    ) -> None:
        await call.announce()
        await call.append("1")
        await call.verify()
        assert call.fates == []
        await redis.delete(*lost)
        await call.verify()
        assert call.fates == ["vanished"]
        await call.announce_again()
        assert await digits(redis) == "1"
        assert await redis.hget(KEYS.call, "edge") == b"edge-1"
        await call.verify()
        assert call.fates == ["vanished"]

    async def test_call_that_its_worker_has_ended_does_not_come_back(
        self, call: Call, redis: Redis, bus_link: Link
    ) -> None:
        await call.announce()
        await worker_ends(bus_link)
        await call.append("1")
        await call.announce_again()
        assert call.fates == ["vanished", "done", "lost"]
        await call.append("2")
        assert await redis.exists(KEYS.call, KEYS.events) == 0

    async def test_end_that_its_worker_has_acted_upon_already_is_no_loss(
        self, call: Call, redis: Redis, bus_link: Link
    ) -> None:
        """It was stored, the answer got lost, and it is appended a second time."""
        await call.announce()
        await worker_ends(bus_link)
        await call.append(ENDED)
        await call.announce_again()
        assert call.fates == ["vanished", "done"]
        assert await redis.exists(KEYS.call, KEYS.events) == 0

    async def test_again_and_again_end_the_call(self, call: Call, redis: Redis) -> None:
        await call.announce()
        for _ in range(5):
            await redis.flushdb()
            await call.append("1")
            await call.announce_again()
        assert call.fates == ["vanished"] * 5
        await redis.flushdb()
        await call.append("1")
        assert call.fates == ["vanished"] * 5 + ["done", "lost"]
        await call.announce_again()
        assert await redis.keys() == []


async def worker_ends(link: Link) -> None:
    requests = [bus.claim(KEYS, "w1:1"), bus.finish(KEYS, "w1:1")]
    assert (await link.execute(requests))[1] == b"FINISHED"


class TestAnotherServer:
    """What the server of the test is made to lose, another one would not have."""

    async def test_that_has_nothing_is_given_everything(self, call: Call, redis: Redis) -> None:
        before = counted("trunkline_edge_events_replayed_total")
        await call.announce()
        for digit in "123":
            await call.append(digit)
        await redis.flushdb()
        call.events.hold()
        await call.announce_again()
        assert await digits(redis) == "123"
        assert await redis.xlen(KEYS.calls) == 1
        assert counted("trunkline_edge_events_replayed_total") == before + 3
        await call.append("4")
        assert await digits(redis) == "1234"
        assert call.fates == []

    async def test_that_has_some_is_given_the_rest(self, call: Call, redis: Redis) -> None:
        before = counted("trunkline_edge_events_replayed_total")
        await call.announce()
        await call.append("1")
        older = await redis.dump(KEYS.events) or b""
        for digit in "23":
            await call.append(digit)
        await redis.restore(KEYS.events, 0, older, replace=True)
        call.events.hold()
        await call.announce_again()
        assert await digits(redis) == "123"
        assert counted("trunkline_edge_events_replayed_total") == before + 2

    async def test_is_given_nothing_before_it_has_said_what_it_has(
        self, call: Call, redis: Redis
    ) -> None:
        await call.announce()
        await call.append("1")
        await redis.flushdb()
        call.events.hold()
        await call.append("2")
        assert await redis.keys() == []
        assert call.fates == []
        await call.announce_again()
        await call.append("3")
        assert await digits(redis) == "123"

    async def test_is_told_what_was_read_and_keeps_the_call_for_its_owner(
        self, call: Call, redis: Redis, redis_url: str
    ) -> None:
        await call.announce()
        call.events.commands_read(7)
        await redis.flushdb()
        call.events.hold()
        await call.announce_again()
        facts = await redis.hmget(KEYS.call, "out", "edge")
        assert facts == [b"7", b"edge-1"]
        link = Link(redis_url, timeout_s=1.0)
        (refused,) = await link.execute([bus.claim(KEYS, "w2:1")])
        await link.close()
        assert bus.read_claim(refused) is bus.ClaimRefusal.KEPT

    async def test_hears_of_the_end_of_a_call_that_has_ended_meanwhile(
        self, call: Call, redis: Redis
    ) -> None:
        await call.announce()
        await redis.flushdb()
        call.events.hold()
        await call.append(ENDED)
        assert call.fates == []
        await call.announce_again()
        assert call.fates == ["done"]
        assert [envelope.event for _, envelope in await stored(redis)] == [STARTED, ENDED]

    async def test_call_that_is_done_is_not_announced_again(self, call: Call, redis: Redis) -> None:
        await call.announce()
        await call.append(ENDED)
        await redis.flushdb()
        call.events.hold()
        await call.announce_again()
        assert await redis.keys() == []

    async def test_that_does_not_say_what_it_has_is_noticed(self, call: Call) -> None:
        await call.announce()
        assert not call.events.is_cut_off(0.0)
        call.events.hold()
        await until(lambda: call.events.is_cut_off(0.01))
        assert not call.events.is_cut_off(60.0)
        await call.announce_again()
        assert not call.events.is_cut_off(0.0)
