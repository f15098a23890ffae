"""What Redis has lost of a call comes back out of its owner's memory: after it came back empty,
and after a failover to a replica that had not heard of the last steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from common import bus, membership
from common.bus import Claim, ClaimRefusal, CommitAnswer, RestoreAnswer
from common.errors import ReplyError
from tests.common.lane_probe import LaneProbe
from tests.common.verbs import CALL, FRESH, LANE, Bus, held_by, keys_of_calls, stored
from tests.waiting import until


@pytest.fixture
async def owned(call: Bus) -> None:
    """By w1, which has made two commits with two commands each."""
    await call.ask(bus.create_group(LANE))
    await call.live("w1")
    await call.announce()
    await call.take("w1")
    await call.claim()
    await call.commit(1, b"a", b"b", cursor=2)
    await call.commit(2, b"c", b"d", cursor=3, partial=1, state=b"s")


async def numbers(redis: Redis) -> dict[bytes, bytes]:
    return {entry_id: data for entry_id, data in await stored(redis, CALL.commands)}


@pytest.mark.usefixtures("owned")
class TestEmptied:
    """The edge has read two commands when Redis comes back with nothing."""

    @pytest.fixture(autouse=True)
    async def emptied(self, owned: None, call: Bus, redis: Redis) -> None:
        await redis.flushdb()

    async def test_call_goes_on_where_its_owner_stood(self, call: Bus, redis: Redis) -> None:
        await call.announce(read_up_to=2, keep_ms=60_000)
        restored = await call.restore(2, b"a", b"b", b"c", b"d", cursor=3, partial=1, state=b"s")
        assert restored is RestoreAnswer.RESTORED
        assert await call.commit(3, b"e") is CommitAnswer.COMMITTED
        assert await stored(redis, CALL.commands) == [
            (b"3-0", b"c"),
            (b"4-0", b"d"),
            (b"5-0", b"e"),
        ]
        assert await call.claim() == Claim(3, 1, 0, 5, b"s", b"first", "edge-1")

    async def test_twice_is_once(self, call: Bus, redis: Redis) -> None:
        await call.announce(read_up_to=2, keep_ms=60_000)
        await call.restore(2, b"a", b"b", b"c", b"d")
        facts = await redis.hgetall(CALL.call)
        assert await call.restore(2, b"a", b"b", b"c", b"d") is RestoreAnswer.INTACT
        assert await redis.hgetall(CALL.call) == facts
        assert await redis.xlen(CALL.commands) == 2

    async def test_before_it_was_announced_again_it_is_gone(self, call: Bus, redis: Redis) -> None:
        assert await call.restore(2, b"a") is RestoreAnswer.GONE
        assert await redis.keys() == []

    async def test_too_late_is_fenced(self, call: Bus) -> None:
        await call.announce(read_up_to=2)
        await call.claim("w2:1")
        assert await call.restore(2, b"a", b"b", b"c", b"d") is RestoreAnswer.FENCED
        assert await call.claim("w2:1") == FRESH._replace(out=2)

    async def test_in_time_though_it_is_kept_no_longer(self, call: Bus) -> None:
        await call.announce(keep_ms=0)
        assert await call.restore(2) is RestoreAnswer.RESTORED
        assert await call.claim("w2:1") is ClaimRefusal.TAKEN

    async def test_owner_lives_though_redis_had_forgotten_it(self, call: Bus, redis: Redis) -> None:
        await call.announce(keep_ms=60_000)
        await call.restore(2)
        assert await redis.zscore(LANE.workers, "w1") is not None
        assert await call.claim("w2:1") is ClaimRefusal.TAKEN

    async def test_entry_that_another_was_handed_becomes_the_owners(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce(keep_ms=60_000)
        await call.ask(bus.create_group(LANE))
        await call.take("w2")
        await call.restore(2)
        assert await held_by(redis) == ["w1"]

    async def test_entry_that_is_handed_out_later_becomes_the_owners(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.announce(keep_ms=60_000)
        await call.restore(2)
        await call.ask(bus.create_group(LANE))
        await call.take("w2")
        assert await call.claim("w2:1") is ClaimRefusal.TAKEN
        assert await held_by(redis) == ["w1"]

    async def test_entry_is_the_owners_though_nobody_has_room_to_take_it(
        self, call: Bus, redis: Redis
    ) -> None:
        """Nor has anybody made the group. Should the owner die, it is found by that."""
        await call.announce(keep_ms=60_000)
        await call.restore(2)
        assert await held_by(redis) == ["w1"]
        await call.die("w1")
        await call.live("w2")
        adopted = await call.ask(membership.adopt(LANE, "w1", "w2", at_most=8))
        assert [taken.call_id for taken in membership.read_adopted(adopted)] == ["c1"]
        assert isinstance(await call.claim("w2:1"), Claim)

    async def test_commit_that_was_heard_but_not_answered_is_heard_once(
        self, call: Bus, redis: Redis
    ) -> None:
        """Its commands were read as 3 and 4, and get those numbers again."""
        await call.announce(read_up_to=4, keep_ms=60_000)
        assert await call.restore(1, b"a", b"b", cursor=2) is RestoreAnswer.RESTORED
        assert await call.commit(2, b"c", b"d", cursor=3) is CommitAnswer.COMMITTED
        assert await stored(redis, CALL.commands) == [(b"3-0", b"c"), (b"4-0", b"d")]

    async def test_numbers_go_on_behind_what_nobody_remembers(
        self, call: Bus, redis: Redis
    ) -> None:
        """Of four commands the owner remembers none, the edge two."""
        await call.announce(read_up_to=2, keep_ms=60_000)
        assert await call.restore(2, first=5) is RestoreAnswer.RESTORED
        await call.commit(3, b"e")
        assert await stored(redis, CALL.commands) == [(b"5-0", b"e")]

    async def test_no_key_outlives_everybody(self, call: Bus, redis: Redis) -> None:
        await call.announce(read_up_to=4, keep_ms=60_000)
        await call.restore(2, first=5)
        await call.commit(3, b"the first command of a stream that was lost")
        assert len(await keys_of_calls(redis)) == 3
        for key in await keys_of_calls(redis):
            assert await redis.ttl(key) > 0, key

    async def test_restored_call_is_not_taken_back_by_the_edge(self, call: Bus) -> None:
        await call.announce(keep_ms=60_000)
        await call.restore(2)
        assert await call.ask(bus.withdraw(CALL)) == b"TAKEN"


@pytest.mark.usefixtures("owned")
class TestHashAloneIsLost:
    """The edge has read two commands of four, and the rest is still there to be read."""

    @pytest.fixture(autouse=True)
    async def announced(self, owned: None, call: Bus, redis: Redis) -> None:
        await redis.delete(CALL.call)
        assert await call.announce(read_up_to=2, keep_ms=60_000) == 1

    async def test_call_goes_on_where_its_owner_stood(self, call: Bus, redis: Redis) -> None:
        restored = await call.restore(2, b"a", b"b", b"c", b"d", cursor=3)
        assert restored is RestoreAnswer.RESTORED
        assert await call.commit(3, b"e") is CommitAnswer.COMMITTED
        assert list((await numbers(redis)).values()) == [b"a", b"b", b"c", b"d", b"e"]

    async def test_new_owner_goes_on_behind_what_is_there(self, call: Bus, redis: Redis) -> None:
        await redis.hset(CALL.call, "kept_until", 0)
        assert await call.claim("w2:1") == FRESH._replace(out=4)
        assert await call.commit(1, b"x", token="w2:1") is CommitAnswer.COMMITTED
        assert (await numbers(redis))[b"5-0"] == b"x"


@pytest.mark.usefixtures("owned")
class TestFailedOver:
    async def test_last_steps_come_back(self, call: Bus, redis: Redis, probe: LaneProbe) -> None:
        replica = probe.dump()
        await call.commit(3, b"e", cursor=4, state=b"t")
        await call.commit(4, b"f", cursor=5)
        probe.set_back(replica)
        assert await call.commit(5, b"g") is CommitAnswer.CONFLICT
        restored = await call.restore(4, b"d", b"e", b"f", first=4, cursor=5, state=b"t")
        assert restored is RestoreAnswer.RESTORED
        assert await call.commit(5, b"g", cursor=6) is CommitAnswer.COMMITTED
        assert list((await numbers(redis)).values()) == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
        assert await call.claim() == Claim(5, 6, 0, 7, b"t", b"first", "edge-1")

    async def test_nothing_is_done_where_nothing_was_lost(self, call: Bus, redis: Redis) -> None:
        facts = await redis.hgetall(CALL.call)
        assert await call.restore(2, b"a", b"b", b"c", b"d") is RestoreAnswer.INTACT
        # A commit that was applied, though its owner has not heard so.
        assert await call.restore(1, b"a", b"b", cursor=0) is RestoreAnswer.INTACT
        assert await redis.hgetall(CALL.call) == facts

    async def test_claim_that_was_lost_is_good_again(
        self, call: Bus, redis: Redis, probe: LaneProbe
    ) -> None:
        await redis.flushdb()
        await call.ask(bus.create_group(LANE))
        await call.live("w1")
        await call.announce()
        replica = probe.dump()
        await call.take("w1")
        await call.claim("w1:2")
        await call.commit(1, b"a", token="w1:2")
        probe.set_back(replica)
        assert await call.restore(1, b"a", token="w1:2") is RestoreAnswer.RESTORED
        assert await call.commit(2, b"b", token="w1:2") is CommitAnswer.COMMITTED
        assert list((await numbers(redis)).values()) == [b"a", b"b"]

    async def test_claim_of_a_call_that_was_handed_over_is_good_again(
        self, call: Bus, redis: Redis, probe: LaneProbe
    ) -> None:
        await call.release()
        replica = probe.dump()
        await call.claim("w2:1")
        await call.commit(3, b"e", token="w2:1")
        probe.set_back(replica)
        assert await call.restore(1, first=3) is RestoreAnswer.FENCED  # w1 knows less than Redis
        restored = await call.restore(3, b"e", first=5, token="w2:1")
        assert restored is RestoreAnswer.RESTORED
        assert await call.commit(4, b"f", token="w2:1") is CommitAnswer.COMMITTED
        assert list((await numbers(redis)).values()) == [b"a", b"b", b"c", b"d", b"e", b"f"]

    async def test_call_that_its_owner_has_ended_stays_so(self, call: Bus) -> None:
        await call.finish()
        assert await call.restore(2, b"a") is RestoreAnswer.FENCED

    async def test_whoever_was_replaced_stays_so(self, call: Bus) -> None:
        await call.die("w1")
        await call.claim("w2:1")
        assert await call.restore(3, b"a") is RestoreAnswer.FENCED

    async def test_next_owner_does_not_number_as_what_was_read_and_lost(
        self, call: Bus, redis: Redis, probe: LaneProbe
    ) -> None:
        """The edge would pass over such commands."""
        replica = probe.dump()
        await call.commit(3, b"e", b"f", cursor=4)
        probe.set_back(replica)
        assert await call.announce(read_up_to=6, keep_ms=60_000) == 1
        await call.die("w1")
        for _ in range(2):
            claim = await call.claim("w2:1")
            assert isinstance(claim, Claim)
            assert (claim.commit, claim.out) == (2, 6)
        await call.commit(3, b"x", token="w2:1")
        assert (await numbers(redis))[b"7-0"] == b"x"

    async def test_next_owner_has_to_wait_until_the_edge_has_said_what_it_has_read(
        self, call: Bus, redis: Redis, probe: LaneProbe
    ) -> None:
        """Or its commands would be those that were read and then lost, to the edge."""
        replica = probe.dump()
        await call.commit(3, b"e", b"f", cursor=4)
        probe.set_back(replica)
        await call.die("w1")
        for _ in range(2):
            assert await call.claim("w2:1") is ClaimRefusal.KEPT
        await call.announce(read_up_to=6, keep_ms=60_000)
        claim = await call.claim("w2:1")
        assert isinstance(claim, Claim)
        assert (claim.commit, claim.out, claim.deaths) == (2, 6, 1)

    async def test_edge_that_says_nothing_is_waited_for_a_while_only(
        self, call: Bus, probe: LaneProbe
    ) -> None:
        probe.set_back(probe.dump())
        await call.die("w1")
        request = bus.claim(CALL, "w2:1", edge_ms=50)
        assert bus.read_claim(await call.ask(request)) is ClaimRefusal.KEPT

        async def is_claimed() -> bool:
            return isinstance(bus.read_claim(await call.ask(request)), Claim)

        await until(is_claimed)

    async def test_owner_need_not_wait_for_the_edge(self, call: Bus, probe: LaneProbe) -> None:
        probe.set_back(probe.dump())
        assert isinstance(await call.claim(), Claim)
        assert await call.commit(3, b"e") is CommitAnswer.COMMITTED


@pytest.mark.parametrize("read", [bus.read_commit, bus.read_claim, bus.read_restore])
def test_refusal_of_redis_is_raised_when_an_answer_is_read(read: Callable[[Any], Any]) -> None:
    with pytest.raises(ReplyError, match="OOM"):
        read(ReplyError("OOM"))
