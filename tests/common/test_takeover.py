"""A call's way from one owner to the next: taken over from the dead, or handed over."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from common import bus, membership
from common.bus import Claim, ClaimRefusal, CommitAnswer, RestoreAnswer
from common.link import Link
from tests.common.verbs import CALL, LANE, Bus, held_by, stored
from tests.waiting import until


class TestTakeover:
    @pytest.fixture(autouse=True)
    async def owned(self, call: Bus) -> None:
        """By w1, which lives, and so does w2."""
        await call.ask(bus.create_group(LANE))
        await call.announce()
        await call.live("w1")
        await call.live("w2")
        await call.take("w1")
        await call.claim("w1:1")

    async def test_dead_owners_call_goes_on_where_it_stood(self, call: Bus) -> None:
        await call.commit(1, b"a", cursor=4, partial=2, state=b"s")
        await call.die("w1")
        taken = Claim(1, 4, 2, 1, b"s", b"first", "edge-1", deaths=1)
        assert await call.claim("w2:1") == taken
        assert await call.claim("w2:1") == taken

    async def test_owner_without_a_lease_is_dead(self, call: Bus, redis: Redis) -> None:
        await redis.zrem(LANE.workers, "w1")
        assert isinstance(await call.claim("w2:1"), Claim)

    async def test_whoever_was_replaced_changes_nothing_any_more(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.die("w1")
        await call.claim("w2:1")
        facts = await redis.hgetall(CALL.call)
        assert await call.commit(1, b"a") is CommitAnswer.FENCED
        assert await call.restore(1, b"a") is RestoreAnswer.FENCED
        assert await call.release() == b"FENCED"
        assert await call.finish() == b"FENCED"
        assert await call.claim("w1:1") is ClaimRefusal.TAKEN
        assert await redis.hgetall(CALL.call) == facts
        assert await redis.exists(CALL.commands) == 0

    async def test_owner_that_lives_after_all_gets_its_entry_back(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.die("w1")
        adopted = await call.ask(membership.adopt(LANE, "w1", "w2", at_most=8))
        assert len(membership.read_adopted(adopted)) == 1
        assert await held_by(redis) == ["w2"]
        await call.live("w1")
        for _ in range(2):
            assert await call.claim("w2:1") is ClaimRefusal.TAKEN
            assert await held_by(redis) == ["w1"]
        assert await call.commit(1) is CommitAnswer.COMMITTED

    async def test_call_whose_owners_die_at_one_place_is_suspect(self, call: Bus) -> None:
        await call.die("w1")
        first = await call.claim("w2:1")
        await call.commit(1, b"not a step further", cursor=0, partial=1, token="w2:1")
        await call.die("w2")
        assert await call.claim("w3:1") is ClaimRefusal.SUSPECT
        assert await call.claim("w3:1") is ClaimRefusal.SUSPECT
        second = await call.claim("w3:1", suspects=True)
        assert await call.claim("w3:1", suspects=True) == second
        await call.die("w3")
        third = await call.claim("w4:1", suspects=True)
        assert [claim.deaths for claim in (first, second, third) if isinstance(claim, Claim)] == [
            1, 2, 3,
        ]  # fmt: skip

    async def test_deaths_on_the_way_do_not_add_up(self, call: Bus) -> None:
        for worker, cursor in (("w1", 2), ("w2", 3), ("w3", 4)):
            await call.commit(cursor - 1, cursor=cursor, token=f"{worker}:1")
            await call.die(worker)
            claim = await call.claim(f"w{cursor}:1")
            assert isinstance(claim, Claim)
            assert claim.deaths == 1

    async def test_call_that_was_handed_over_has_left_its_deaths_behind(self, call: Bus) -> None:
        await call.die("w1")
        await call.claim("w2:1")
        await call.commit(1, cursor=5, token="w2:1")
        await call.release("w2:1")
        claim = await call.claim("w3:1")
        assert isinstance(claim, Claim)
        assert claim.deaths == 0


class TestRelease:
    @pytest.fixture(autouse=True)
    async def owned(self, call: Bus) -> None:
        await call.ask(bus.create_group(LANE))
        await call.announce()
        await call.take("w1")
        await call.claim()
        await call.commit(1, b"a", cursor=2, state=b"s")

    async def test_another_goes_on_where_the_first_stood(self, call: Bus) -> None:
        assert await call.release() == b"RELEASED"
        assert [taken.call_id for taken in await call.take("w2")] == ["c1"]
        assert await call.claim("w2:1") == Claim(1, 2, 0, 1, b"s", b"first", "edge-1")

    async def test_twice_is_once(self, call: Bus, redis: Redis) -> None:
        await call.release()
        assert await call.release() == b"ALREADY"
        assert [data for _, data in await stored(redis, LANE.calls)] == [b"c1"]
        assert await held_by(redis) == []

    async def test_repeated_too_late_is_fenced(self, call: Bus) -> None:
        await call.release()
        await call.claim("w2:1")
        assert await call.release() == b"FENCED"
        assert await call.ask(bus.owner_of(CALL)) == b"w2:1"

    async def test_of_an_ended_call_finds_it_gone(self, call: Bus) -> None:
        await call.finish()
        assert await call.release() == b"GONE"
        assert await call.ask(bus.owner_of(CALL)) is None

    async def test_whoever_waits_for_a_call_is_woken(self, call: Bus, redis_url: str) -> None:
        waiter = Link(redis_url, timeout_s=10.0)
        waiting = asyncio.create_task(
            waiter.execute([bus.take(LANE, "w2", block_ms=60_000)], block_s=60.0)
        )
        try:
            await until(lambda: is_blocked(call))
            await call.release()
            async with asyncio.timeout(20.0):
                (reply,) = await waiting
            assert [taken.call_id for taken in bus.read_taken(reply)] == ["c1"]
        finally:
            waiting.cancel()
            await waiter.close()

    async def test_released_call_is_not_taken_back_by_the_edge(self, call: Bus) -> None:
        await call.release()
        assert await call.ask(bus.withdraw(CALL)) == b"TAKEN"


async def is_blocked(call: Bus) -> bool:
    """Whether somebody waits for a call."""
    return b"blocked_clients:0" not in await call.ask((b"INFO", b"clients"))
