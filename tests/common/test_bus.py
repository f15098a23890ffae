"""Every verb against a real Redis, each also repeated: a reply may get lost at any of them."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from common import bus
from common.bus import Claim, ClaimRefusal, CommitAnswer, RestoreAnswer
from common.errors import ReplyError
from common.keys import ENDED_S
from tests.common.verbs import CALL, FRESH, LANE, Bus, keys_of_calls, stored
from tests.waiting import until


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

    async def test_again_tells_which_events_are_stored(self, call: Bus) -> None:
        await call.announce()
        await call.ask(bus.append_event(CALL, 2, b"second"))
        await call.ask(bus.append_event(CALL, 7, b"seventh"))
        assert await call.announce(keep_ms=60_000) == 7
        await call.claim()
        await call.commit(1, cursor=7)
        assert await call.announce() == 7  # though the stream is trimmed now
        assert isinstance(await call.claim(), Claim)  # and not kept for anybody

    async def test_again_after_the_events_got_lost_begins_them_anew(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce()
        await call.claim()
        await call.commit(1, cursor=5)
        await redis.delete(CALL.events)
        assert await call.announce(read_up_to=3) == 1
        assert await call.ask(bus.append_event(CALL, 6, b"sixth")) == b"6-0"
        assert await redis.ttl(CALL.events) > 0
        assert await redis.xlen(CALL.calls) == 1
        assert await call.commit(2) is CommitAnswer.COMMITTED

    async def test_again_after_all_but_the_events_got_lost_goes_on_with_them(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce()
        await call.ask(bus.append_event(CALL, 2, b"second"))
        await redis.delete(CALL.call)
        assert await call.announce(keep_ms=60_000) == 2
        assert await call.restore(3) is RestoreAnswer.RESTORED
        assert await call.ask(bus.append_event(CALL, 3, b"third")) == b"3-0"

    async def test_again_after_its_end_brings_nothing_back(self, call: Bus, redis: Redis) -> None:
        assert not bus.has_ended(await call.announce())
        await call.claim()
        await call.finish()
        assert bus.has_ended(await call.announce(keep_ms=60_000))
        assert await keys_of_calls(redis) == []
        assert await redis.xlen(CALL.calls) == 0

    async def test_again_after_redis_had_lost_it_before_its_end_brings_nothing_back(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce()
        await call.claim()
        await redis.flushdb()
        assert await call.finish() == b"GONE"
        assert bus.has_ended(await call.announce(keep_ms=60_000))

    async def test_ends_are_not_remembered_for_ever(self, call: Bus, redis: Redis) -> None:
        await redis.zadd(LANE.ended, {"long-ago": 1})
        await call.announce()
        await call.claim()
        await call.finish()
        assert await redis.zrange(LANE.ended, 0, -1) == [b"c1"]
        assert 0 < await redis.ttl(LANE.ended) <= ENDED_S

    async def test_after_all_was_lost_keeps_the_call_for_its_owner(self, call: Bus) -> None:
        await call.announce(keep_ms=60_000)
        assert await call.claim("w2:1") is ClaimRefusal.KEPT
        assert await call.claim("w2:1") is ClaimRefusal.KEPT
        assert await call.restore(3) is RestoreAnswer.RESTORED

    async def test_call_is_kept_for_a_while_only(self, call: Bus) -> None:
        await call.announce(keep_ms=30)
        assert await call.claim("w2:1") is ClaimRefusal.KEPT

        async def is_claimed() -> bool:
            return isinstance(await call.claim("w2:1"), Claim)

        await until(is_claimed)

    async def test_commands_that_were_read_keep_their_numbers(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce(read_up_to=12)
        assert await call.claim() == FRESH._replace(out=12)
        await call.commit(1)
        await call.commit(2, b"a")
        assert await stored(redis, CALL.commands) == [(b"13-0", b"a")]
        for key in await keys_of_calls(redis):
            assert await redis.ttl(key) > 0, key


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
        await call.live("w1")
        assert await call.claim("w2:1") is ClaimRefusal.TAKEN
        assert await call.commit(1) is CommitAnswer.COMMITTED

    async def test_of_an_ended_call_is_refused(self, call: Bus) -> None:
        assert await call.claim() is ClaimRefusal.GONE

    async def test_tells_how_far_the_call_has_come(self, call: Bus) -> None:
        await call.announce()
        await call.claim()
        await call.commit(1, b"a", b"b", cursor=7, partial=1, state=b"\x00s")
        assert await call.claim() == Claim(1, 7, 1, 2, b"\x00s", b"first", "edge-1")

    async def test_again_by_its_own_worker_is_refused(self, call: Bus) -> None:
        """Even by one whose lease has run out: it would take the call from itself."""
        await call.announce()
        await call.claim("w1:1")
        assert await call.claim("w1:2") is ClaimRefusal.TAKEN
        await call.die("w1")
        assert await call.claim("w1:2") is ClaimRefusal.TAKEN
        assert await call.commit(1) is CommitAnswer.COMMITTED

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
