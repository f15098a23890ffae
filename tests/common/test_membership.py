"""Who is alive, who takes over what the dead have left, and how one says goodbye."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from common import bus, membership
from common.bus import Claim
from common.errors import ReplyError
from common.keys import GROUP, TTL_S
from common.membership import Look
from tests.common.verbs import CALL, LANE, Bus, held_by, stored
from tests.waiting import until

LEASE_MS = 60_000


async def now_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return seconds * 1000 + micros // 1000


async def look(call: Bus, worker: str = "w1", *, lease_ms: int = LEASE_MS) -> Look:
    request = membership.renew_worker(LANE, worker, lease_ms=lease_ms)
    return membership.read_look(await call.ask(request))


async def adopt(call: Bus, dead: str, worker: str, *, at_most: int = 8) -> list[str]:
    request = membership.adopt(LANE, dead, worker, at_most=at_most)
    return [taken.call_id for taken in membership.read_adopted(await call.ask(request))]


async def leases(redis: Redis) -> dict[str, float]:
    found: Any = await redis.zrange(LANE.workers, 0, -1, withscores=True)
    return {name.decode(): end for name, end in found}


async def consumers(redis: Redis) -> list[str]:
    found = await redis.xinfo_consumers(LANE.calls, GROUP)
    return sorted(consumer["name"].decode() for consumer in found)


class TestRenew:
    async def test_lease_ends_by_the_clock_of_redis(self, call: Bus, redis: Redis) -> None:
        before = await now_ms(redis)
        answer = await look(call)
        end = (await leases(redis))["w1"]
        assert before <= answer.now_ms <= await now_ms(redis)
        assert end == answer.now_ms + LEASE_MS
        assert answer.dead_workers == []
        assert answer.dead_edges == []

    async def test_it_tells_when_the_next_of_the_others_runs_out(self, call: Bus) -> None:
        assert (await look(call, "w1")).next_end_ms == -1
        await look(call, "w2", lease_ms=50_000)
        await look(call, "w3", lease_ms=40_000)
        assert 20_000 < (await look(call, "w1", lease_ms=10_000)).next_end_ms <= 40_000
        assert 1 < (await look(call, "w2")).next_end_ms <= 10_000

    async def test_again_is_only_later(self, call: Bus, redis: Redis) -> None:
        first, second = await look(call), await look(call)
        assert second.now_ms >= first.now_ms
        assert await leases(redis) == {"w1": second.now_ms + LEASE_MS}

    async def test_lease_that_is_not_renewed_runs_out(self, call: Bus) -> None:
        await look(call, "w2", lease_ms=20)

        async def is_dead() -> bool:
            return (await look(call)).dead_workers == ["w2"]

        await until(is_dead)

    async def test_dead_edge_is_seen(self, call: Bus) -> None:
        await call.ask(membership.renew_edge(LANE, "e1", lease_ms=LEASE_MS))
        await call.ask(membership.renew_edge(LANE, "e2", lease_ms=LEASE_MS))
        await call.ask((b"ZADD", LANE.edges, 1, b"e2"))
        assert (await look(call)).dead_edges == ["e2"]

    async def test_dead_edge_is_forgotten_when_its_calls_are_gone(
        self, call: Bus, redis: Redis
    ) -> None:
        now = await now_ms(redis)
        long_ago, lately = now - TTL_S * 1000 - 1000, now - 1000
        await redis.zadd(LANE.edges, {"e1": long_ago, "e2": lately})
        await call.ask(membership.renew_edge(LANE, "e3", lease_ms=LEASE_MS))
        assert await redis.zrange(LANE.edges, 0, -1) == [b"e2", b"e3"]

    async def test_dead_worker_is_remembered_however_long(self, call: Bus) -> None:
        await call.die("w2")
        assert (await look(call)).dead_workers == ["w2"]

    async def test_nobody_lives_for_ever_after_the_clock_went_back(
        self, call: Bus, redis: Redis
    ) -> None:
        now = await now_ms(redis)
        await redis.zadd(LANE.workers, {"w2": now + 10**9, "w3": now + 2 * LEASE_MS})
        answer = await look(call)
        end = answer.now_ms + LEASE_MS
        assert await leases(redis) == {"w1": end, "w2": end, "w3": now + 2 * LEASE_MS}

    async def test_refusal_of_redis_is_raised(self, call: Bus, redis: Redis) -> None:
        await redis.set(LANE.workers, "no leases")
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            await look(call)


class TestAdopt:
    @pytest.fixture(autouse=True)
    async def two_calls_of_one_worker(self, call: Bus) -> None:
        """w1 was handed c1 and c2, and w1 and w2 live."""
        await call.ask(bus.create_group(LANE))
        for call_id in ("c1", "c2"):
            await call.announce(LANE.keys(call_id))
            await call.take("w1")
        await call.live("w1")
        await call.live("w2")

    async def test_living_worker_keeps_what_it_has(self, call: Bus, redis: Redis) -> None:
        assert await adopt(call, "w1", "w2") == []
        assert await held_by(redis) == ["w1", "w1"]
        assert "w1" in await leases(redis)

    async def test_entries_of_a_dead_worker_change_hands(self, call: Bus, redis: Redis) -> None:
        await call.die("w1")
        assert await adopt(call, "w1", "w2") == ["c1", "c2"]
        assert await held_by(redis) == ["w2", "w2"]
        assert isinstance(await call.claim("w2:1"), Claim)

    async def test_repeated_after_a_lost_reply_they_are_found_among_ones_own(
        self, call: Bus
    ) -> None:
        await call.die("w1")
        await adopt(call, "w1", "w2")
        assert await adopt(call, "w1", "w2") == []
        mine = bus.read_taken(await call.ask(bus.taken_before(LANE, "w2")))
        assert [taken.call_id for taken in mine] == ["c1", "c2"]

    async def test_survivors_share(self, call: Bus, redis: Redis) -> None:
        await call.die("w1")
        assert await adopt(call, "w1", "w2", at_most=1) == ["c1"]
        assert await adopt(call, "w1", "w3", at_most=1) == ["c2"]
        assert await held_by(redis) == ["w2", "w3"]

    async def test_dead_worker_with_nothing_left_is_forgotten(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.die("w1")
        await adopt(call, "w1", "w2")
        assert await consumers(redis) == ["w1", "w2"]
        for _ in range(2):
            assert await adopt(call, "w1", "w2") == []
            assert await consumers(redis) == ["w2"]
            assert list(await leases(redis)) == ["w2"]

    async def test_worker_that_redis_has_forgotten_is_dead(self, call: Bus, redis: Redis) -> None:
        await redis.zrem(LANE.workers, "w1")
        assert await adopt(call, "w1", "w2") == ["c1", "c2"]

    async def test_entry_that_an_operator_deleted_is_dropped(self, call: Bus, redis: Redis) -> None:
        (entry_id, _), _ = await stored(redis, LANE.calls)
        await redis.xdel(LANE.calls, entry_id)
        await call.die("w1")
        assert await adopt(call, "w1", "w2") == ["c2"]
        assert await held_by(redis) == ["w2"]

    async def test_nobody_has_anything_where_the_group_is_gone(
        self, call: Bus, redis: Redis
    ) -> None:
        await redis.delete(LANE.calls)
        await call.die("w1")
        assert await adopt(call, "w1", "w2") == []
        assert list(await leases(redis)) == ["w2"]

    async def test_refusal_of_redis_is_raised(self, call: Bus, redis: Redis) -> None:
        await redis.set(LANE.calls, "no dispatch")
        await call.die("w1")
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            await adopt(call, "w1", "w2")


class TestLeave:
    @pytest.fixture(autouse=True)
    async def worker(self, call: Bus) -> None:
        """w1, which lives and has been handed c1."""
        await call.ask(bus.create_group(LANE))
        await call.live("w1")
        await call.announce()
        await call.take("w1")

    async def test_with_nothing_left_to_do_a_worker_is_forgotten(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.claim()
        await call.finish()
        for _ in range(2):
            assert await call.ask(membership.leave(LANE, "w1")) == 0
            assert await consumers(redis) == []
            assert await leases(redis) == {}

    async def test_whoever_leaves_something_behind_is_dead_at_once(
        self, call: Bus, redis: Redis
    ) -> None:
        await call.claim()
        for _ in range(2):
            assert await call.ask(membership.leave(LANE, "w1")) == 1
            assert (await look(call, "w2")).dead_workers == ["w1"]
        assert await adopt(call, "w1", "w2") == ["c1"]
        assert isinstance(await call.claim("w2:1"), Claim)

    async def test_what_was_handed_over_is_not_left_behind(self, call: Bus, redis: Redis) -> None:
        await call.claim()
        await call.release()
        assert await call.ask(membership.leave(LANE, "w1")) == 0
        assert await consumers(redis) == []
        assert await redis.xlen(CALL.calls) == 1

    async def test_where_nobody_has_ever_worked(self, call: Bus, redis: Redis) -> None:
        await redis.flushdb()
        assert await call.ask(membership.leave(LANE, "w1")) == 0
        assert await redis.keys() == []
