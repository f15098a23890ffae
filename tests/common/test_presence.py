"""Which calls Redis has, and for how long it keeps them."""

from __future__ import annotations

from redis.asyncio import Redis

from common import presence
from common.errors import ReplyError
from common.keys import TTL_S
from tests.common.verbs import CALL, LANE, Bus


async def test_calls_that_redis_has_are_counted(call: Bus, redis: Redis) -> None:
    other = LANE.keys("c2")
    await call.announce()
    assert await call.ask(presence.how_many_exist([CALL, other])) == 2
    await call.announce(other)
    assert await call.ask(presence.how_many_exist([CALL, other])) == 4
    await redis.delete(other.call)
    assert await call.ask(presence.how_many_exist([CALL, other])) == 3


def test_a_key_too_few_is_a_loss_and_a_refusal_is_none() -> None:
    calls = [CALL, LANE.keys("c2")]
    assert not presence.is_any_lost(4, calls)
    assert presence.is_any_lost(3, calls)
    assert not presence.is_any_lost(ReplyError("NOPERM"), calls)


async def test_keys_that_are_kept_do_not_expire(call: Bus, redis: Redis) -> None:
    await call.announce()
    await redis.expire(CALL.call, 60)
    for request in presence.keep(CALL):
        await call.ask(request)
    assert 60 < await redis.ttl(CALL.call) <= TTL_S
