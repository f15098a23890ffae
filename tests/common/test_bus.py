"""Every verb against a real Redis, each also repeated: a reply may get lost at any of them."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from common import bus, membership
from common.bus import Claim, ClaimRefusal, Commit, CommitAnswer, Taken
from common.errors import ReplyError
from common.keys import CallKeys, lanes
from common.link import Link, Request

LANE = lanes("test", 1)[0]
CALL = LANE.keys("c1")
FRESH = Claim(commit=0, cursor=0, partial=0, out=0, state=b"", start=b"first", edge_id="edge-1")


class Bus:
    """An edge and a worker in one, speaking to Redis over a real link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def ask(self, request: Request) -> Any:
        (reply,) = await self._link.execute([request])
        return reply

    async def announce(self, keys: CallKeys = CALL) -> Any:
        return await self.ask(bus.announce(keys, "edge-1", b"first"))

    async def renew(self, worker_id: str) -> None:
        await self.ask(membership.renew_worker(LANE, worker_id, lease_ms=60_000))

    async def claim(self, token: str = "w1:1") -> Claim | ClaimRefusal:
        return bus.read_claim(await self.ask(bus.claim(CALL, token)))

    async def commit(
        self,
        number: int,
        *commands: bytes,
        cursor: int = 1,
        partial: int = 0,
        state: bytes | None = None,
        token: str = "w1:1",
    ) -> CommitAnswer:
        step = Commit(number, cursor, partial, state, commands)
        return bus.read_commit(await self.ask(bus.commit(CALL, token, step)))

    async def finish(self, token: str = "w1:1") -> Any:
        return await self.ask(bus.finish(CALL, token))

    async def take(self, consumer: str = "w1") -> list[Taken]:
        return bus.read_taken(await self.ask(bus.take(LANE, consumer, block_ms=1)))


@pytest.fixture
async def call(redis_url: str) -> Any:
    link = Link(redis_url, timeout_s=2.0)
    yield Bus(link)
    await link.close()


async def stored(redis: Redis, stream: bytes) -> list[tuple[bytes, bytes]]:
    entries: Any = await redis.xrange(stream)
    return [(entry_id, fields[b"e"]) for entry_id, fields in entries]


async def keys_of_calls(redis: Redis) -> list[bytes]:
    """Every key but the one that lives for ever."""
    keys: Any = await redis.keys()
    return [key for key in keys if key != LANE.calls]


class TestAnnounce:
    async def test_call_appears_with_its_first_event(self, call: Bus, redis: Redis) -> None:
        assert await call.announce() == 1
        assert [data for _, data in await stored(redis, CALL.calls)] == [b"c1"]
        assert await stored(redis, CALL.events) == [(b"1-0", b"first")]
        assert await redis.hget(CALL.call, "edge") == b"edge-1"

    async def test_twice_is_once(self, call: Bus, redis: Redis) -> None:
        await call.announce()
        assert await call.announce() == 1
        assert await redis.xlen(CALL.calls) == 1
        assert await redis.xlen(CALL.events) == 1


class TestAppend:
    async def test_events_keep_the_numbers_that_the_edge_gave(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce()
        assert await call.ask(bus.append_event(CALL, 2, b"second")) == b"2-0"
        assert await stored(redis, CALL.events) == [(b"1-0", b"first"), (b"2-0", b"second")]

    async def test_twice_is_once(self, call: Bus, redis: Redis) -> None:
        await call.announce()
        await call.ask(bus.append_event(CALL, 2, b"second"))
        assert bus.is_already_stored(await call.ask(bus.append_event(CALL, 2, b"second")))
        assert await redis.xlen(CALL.events) == 2

    async def test_late_event_does_not_bring_an_ended_call_back(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce()
        await call.claim()
        await call.finish()
        assert await call.ask(bus.append_event(CALL, 2, b"late")) is None
        assert await keys_of_calls(redis) == []

    async def test_other_errors_do_not_count_as_stored(self, call: Bus, redis: Redis) -> None:
        await redis.set(CALL.events, "no stream")
        reply = await call.ask(bus.append_event(CALL, 2, b"second"))
        assert isinstance(reply, ReplyError)
        assert not bus.is_already_stored(reply)


class TestTake:
    async def test_call_announced_before_the_first_worker_is_handed_over(self, call: Bus) -> None:
        await call.announce()
        await call.ask(bus.create_group(LANE))
        assert [taken.call_id for taken in await call.take()] == ["c1"]

    async def test_one_call_goes_to_one_worker(self, call: Bus) -> None:
        await call.ask(bus.create_group(LANE))
        await call.announce()
        assert len(await call.take("w1")) == 1
        assert await call.take("w2") == []

    async def test_one_call_at_a_time(self, call: Bus) -> None:
        await call.ask(bus.create_group(LANE))
        for call_id in ("c1", "c2"):
            await call.announce(LANE.keys(call_id))
        assert [taken.call_id for taken in await call.take("w1")] == ["c1"]
        assert [taken.call_id for taken in await call.take("w2")] == ["c2"]

    async def test_call_whose_handing_over_got_lost_is_found_again(self, call: Bus) -> None:
        await call.ask(bus.create_group(LANE))
        await call.announce()
        lost = await call.take("w1")
        assert bus.read_taken(await call.ask(bus.taken_before(LANE, "w1"))) == lost

    async def test_discarded_entry_is_handed_to_nobody_again(self, call: Bus, redis: Redis) -> None:
        await call.ask(bus.create_group(LANE))
        await call.announce()
        (taken,) = await call.take()
        for request in bus.discard(LANE, taken.entry_id):
            await call.ask(request)
        assert bus.read_taken(await call.ask(bus.taken_before(LANE, "w1"))) == []
        assert await redis.xlen(LANE.calls) == 0

    async def test_call_withdrawn_after_it_was_taken_is_not_pending(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.ask(bus.create_group(LANE))
        await call.announce()
        await call.take()
        await call.ask(bus.withdraw(CALL))
        assert (await redis.xpending(CALL.calls, "workers"))["pending"] == 0
        assert bus.read_taken(await call.ask(bus.taken_before(LANE, "w1"))) == []

    async def test_group_exists_once(self, call: Bus) -> None:
        assert bus.is_group_missing(await call.ask(bus.take(LANE, "w1", block_ms=1)))
        assert await call.ask(bus.create_group(LANE)) == b"OK"
        again = await call.ask(bus.create_group(LANE))
        assert isinstance(again, ReplyError)
        assert str(again).startswith("BUSYGROUP")
        assert not bus.is_group_missing(again)

    async def test_worker_that_left_is_no_consumer_any_more(self, call: Bus, redis: Redis) -> None:
        await call.ask(bus.create_group(LANE))
        await call.take("w1")
        await call.ask(membership.leave(LANE, "w1"))
        assert await redis.xinfo_consumers(LANE.calls, "workers") == []


class TestClaim:
    async def test_owner_learns_where_to_begin(self, call: Bus) -> None:
        await call.announce()
        assert await call.claim() == FRESH

    async def test_again_with_the_same_token_answers_the_same(self, call: Bus) -> None:
        await call.announce()
        assert await call.claim() == await call.claim() == FRESH

    async def test_of_a_call_that_another_owns_is_refused(self, call: Bus) -> None:
        await call.announce()
        await call.claim("w1:1")
        await call.renew("w1")
        assert await call.claim("w2:1") is ClaimRefusal.TAKEN
        assert await call.commit(1) is CommitAnswer.COMMITTED

    async def test_of_an_ended_call_is_refused(self, call: Bus) -> None:
        assert await call.claim() is ClaimRefusal.GONE

    async def test_tells_how_far_the_call_has_come(self, call: Bus) -> None:
        await call.announce()
        await call.claim()
        await call.commit(1, b"a", b"b", cursor=7, partial=1, state=b"\x00s")
        assert await call.claim() == Claim(1, 7, 1, 2, b"\x00s", b"first", "edge-1")

    async def test_error_of_redis_is_raised(self, call: Bus, redis: Redis) -> None:
        await redis.set(CALL.call, "no hash")
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            await call.claim()


class TestCommit:
    @pytest.fixture(autouse=True)
    async def claimed(self, call: Bus) -> None:
        await call.announce()
        await call.claim()

    async def test_commands_are_numbered_without_a_gap(self, call: Bus, redis: Redis) -> None:
        assert await call.commit(1, b"a", b"b") is CommitAnswer.COMMITTED
        assert await call.commit(2) is CommitAnswer.COMMITTED
        assert await call.commit(3, b"c") is CommitAnswer.COMMITTED
        assert await stored(redis, CALL.commands) == [
            (b"1-0", b"a"),
            (b"2-0", b"b"),
            (b"3-0", b"c"),
        ]

    async def test_twice_is_once(self, call: Bus, redis: Redis) -> None:
        await call.commit(1, b"a", cursor=3)
        assert await call.commit(1, b"a", cursor=3) is CommitAnswer.ALREADY
        assert await redis.xlen(CALL.commands) == 1

    async def test_of_a_former_owner_is_fenced(self, call: Bus, redis: Redis) -> None:
        assert await call.commit(1, b"a", token="w0:1") is CommitAnswer.FENCED
        assert await redis.exists(CALL.commands) == 0

    async def test_that_skips_a_number_is_a_conflict(self, call: Bus, redis: Redis) -> None:
        assert await call.commit(2, b"a") is CommitAnswer.CONFLICT
        assert await redis.exists(CALL.commands) == 0

    async def test_older_than_the_last_is_a_conflict(self, call: Bus) -> None:
        await call.commit(1)
        await call.commit(2)
        assert await call.commit(1) is CommitAnswer.CONFLICT

    async def test_of_an_ended_call_finds_it_gone(self, call: Bus, redis: Redis) -> None:
        await call.finish()
        assert await call.commit(1, b"a") is CommitAnswer.GONE
        assert await keys_of_calls(redis) == []

    async def test_state_stays_when_it_has_not_changed(self, call: Bus, redis: Redis) -> None:
        await call.commit(1, state=b"one")
        await call.commit(2)
        assert await redis.hget(CALL.call, "state") == b"one"
        await call.commit(3, state=b"")
        assert await redis.hget(CALL.call, "state") == b""

    async def test_events_behind_the_cursor_go(self, call: Bus, redis: Redis) -> None:
        for sequence in (2, 3, 4):
            await call.ask(bus.append_event(CALL, sequence, b"%d" % sequence))
        await call.commit(1, cursor=3)
        assert await stored(redis, CALL.events) == [(b"4-0", b"4")]

    async def test_that_redis_refuses_changes_nothing(self, call: Bus, redis: Redis) -> None:
        await redis.set(CALL.commands, "no stream")
        with pytest.raises(ReplyError):
            await call.commit(1, b"a")
        assert await redis.hget(CALL.call, "commit") == b"0"

    async def test_no_key_outlives_everybody(self, call: Bus, redis: Redis) -> None:
        await call.commit(1)
        await call.commit(2, b"the first command, though not at the first commit")
        for key in await keys_of_calls(redis):
            assert await redis.ttl(key) > 0, key


class TestEnd:
    async def test_finish_leaves_no_key(self, call: Bus, redis: Redis) -> None:
        await call.ask(bus.create_group(LANE))
        await call.announce()
        await call.take()
        await call.claim()
        await call.commit(1, b"a", state=b"s")
        assert await call.finish() == b"FINISHED"
        assert await keys_of_calls(redis) == []
        assert await redis.xlen(LANE.calls) == 0
        assert bus.read_taken(await call.ask(bus.taken_before(LANE, "w1"))) == []

    async def test_finish_twice_is_once(self, call: Bus) -> None:
        await call.announce()
        await call.claim()
        await call.finish()
        assert await call.finish() == b"GONE"

    async def test_only_the_owner_finishes(self, call: Bus, redis: Redis) -> None:
        await call.announce()
        await call.claim("w1:1")
        assert await call.finish("w2:1") == b"FENCED"
        assert await redis.exists(CALL.call, CALL.events) == 2

    async def test_call_that_nobody_took_is_withdrawn_without_a_trace(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce()
        assert await call.ask(bus.withdraw(CALL)) == b"WITHDRAWN"
        assert await keys_of_calls(redis) == []
        assert await redis.xlen(LANE.calls) == 0

    async def test_withdraw_twice_is_once(self, call: Bus) -> None:
        await call.announce()
        await call.ask(bus.withdraw(CALL))
        assert await call.ask(bus.withdraw(CALL)) == b"GONE"

    async def test_claimed_call_cannot_be_withdrawn(self, call: Bus) -> None:
        await call.announce()
        await call.claim()
        assert await call.ask(bus.withdraw(CALL)) == b"TAKEN"
        assert await call.commit(1) is CommitAnswer.COMMITTED

    async def test_one_call_ends_and_the_other_lives(self, call: Bus, redis: Redis) -> None:
        other = LANE.keys("c2")
        await call.announce(other)
        await call.announce()
        await call.claim()
        await call.finish()
        assert [data for _, data in await stored(redis, LANE.calls)] == [b"c2"]
        assert await redis.exists(other.call, other.events) == 2


async def test_commands_that_were_read_are_trimmed(call: Bus, redis: Redis) -> None:
    await call.announce()
    await call.claim()
    await call.commit(1, b"a", b"b", b"c")
    await call.ask(bus.trim_commands(CALL, 2))
    assert await stored(redis, CALL.commands) == [(b"3-0", b"c")]
    await call.ask(bus.trim_commands(CALL, 3))
    await call.commit(2, b"d")
    assert await stored(redis, CALL.commands) == [(b"4-0", b"d")]


def test_refusal_of_redis_is_raised_when_an_answer_is_read() -> None:
    with pytest.raises(ReplyError, match="OOM"):
        bus.read_commit(ReplyError("OOM"))
