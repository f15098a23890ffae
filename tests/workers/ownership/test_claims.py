from __future__ import annotations

from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from common import bus, membership
from common.bus import Claim, Commit, Taken
from common.keys import GROUP, CallKeys
from common.link import Link
from common.writer import Writer
from tests.workers.calls import LANE, announce, eventually
from workers.ownership.capacity import Capacity
from workers.ownership.claims import Claims

ME, DEAD = "worker-1", "worker-2"


class Owned(NamedTuple):
    call_id: str
    token: str
    deaths: int


class Claimer:
    def __init__(self, writer: Writer) -> None:
        self.owned: list[Owned] = []
        self.capacity = Capacity(2)
        self.ours: list[str] = []
        self.claims = Claims(
            LANE, ME, writer, self.capacity, self._own, lambda _, token: self.ours.append(token)
        )

    def _own(self, keys: CallKeys, token: str, claim: Claim) -> None:
        self.owned.append(Owned(keys.call_id, token, claim.deaths))

    @property
    def call_ids(self) -> list[str]:
        return [each.call_id for each in self.owned]

    async def owns(self, *call_ids: str) -> None:
        await eventually(lambda: sorted(self.call_ids) == sorted(call_ids))


@pytest.fixture
def claimer(writer: Writer) -> Claimer:
    return Claimer(writer)


async def handed_to(link: Link, worker_id: str) -> list[Taken]:
    """Everything that waits in dispatch."""
    taken: list[Taken] = []
    await link.execute([bus.create_group(LANE)])
    while True:
        (reply,) = await link.execute([bus.take(LANE, worker_id, block_ms=1)])
        if not (one := bus.read_taken(reply)):
            return taken
        taken += one


async def died(link: Link, *call_ids: str, times: int = 1, worker_id: str = DEAD) -> list[Taken]:
    """Calls whose owners died so often at the same event; the entries."""
    for call_id in call_ids:
        await announce(link, call_id)
    entries = await handed_to(link, worker_id)
    for call_id in call_ids:
        for number in range(times):
            # Each has no lease, so the next is taken to have found it dead.
            token = f"{worker_id}-{number}:1"
            await link.execute([bus.claim(LANE.keys(call_id), token, suspects=True)])
    return entries


async def test_every_claim_has_a_token_of_its_own(link: Link, claimer: Claimer) -> None:
    await announce(link, "a")
    await announce(link, "b")
    claimer.claims.claim_all(await handed_to(link, ME))
    await claimer.owns("a", "b")
    assert {each.token for each in claimer.owned} == {f"{ME}:1", f"{ME}:2"}
    assert claimer.capacity.running == 2


async def test_an_entry_that_is_being_claimed_is_not_claimed_again(
    link: Link, claimer: Claimer
) -> None:
    await announce(link, "a")
    entries = await handed_to(link, ME)
    claimer.claims.claim_all(entries)
    claimer.claims.claim_all(entries)
    await claimer.owns("a")
    assert claimer.capacity.running == 1


async def test_calls_of_a_dead_worker_are_claimed_though_there_is_no_room(
    link: Link, claimer: Claimer
) -> None:
    claimer.claims.claim_all(await died(link, "a", "b", "c"))
    await claimer.owns("a", "b", "c")
    assert claimer.capacity.running == 3
    assert claimer.capacity.load == 1.5
    assert {each.deaths for each in claimer.owned} == {1}


async def test_a_call_whose_owner_lives_is_left_to_it_with_its_entry(
    link: Link, claimer: Claimer, redis: Redis
) -> None:
    await announce(link, "a")
    entries = await handed_to(link, ME)
    await link.execute(
        [
            membership.renew_worker(LANE, DEAD, lease_ms=60_000),
            bus.claim(LANE.keys("a"), f"{DEAD}:1"),
        ]
    )
    claimer.claims.claim_all(entries)
    await eventually(lambda: claimer.capacity.running == 0)
    (pending,) = await redis.xpending_range(LANE.calls, GROUP.decode(), "-", "+", 10)
    assert pending["consumer"] == DEAD.encode()
    assert (claimer.owned, claimer.ours) == ([], [])


async def test_a_call_that_is_ours_already_is_told_of(link: Link, claimer: Claimer) -> None:
    await announce(link, "a")
    entries = await handed_to(link, ME)
    await link.execute([bus.claim(LANE.keys("a"), f"{ME}:77")])
    claimer.claims.claim_all(entries)
    await eventually(lambda: claimer.ours == [f"{ME}:77"])
    assert claimer.owned == []
    assert claimer.capacity.running == 0


async def test_a_call_that_is_kept_for_its_owner_is_asked_for_until_it_is_not(
    link: Link, claimer: Claimer, redis: Redis
) -> None:
    keys = await announce(link, "a")
    await redis.hset(keys.call, "kept_until", 10**15)
    claimer.claims.claim_all(await handed_to(link, ME))
    await eventually(lambda: claimer.claims._claims >= 3)
    assert claimer.owned == []
    await redis.hset(keys.call, "kept_until", 1)
    await claimer.owns("a")
    assert claimer.capacity.running == 1


async def test_an_entry_whose_call_is_gone_is_dropped(
    link: Link, claimer: Claimer, redis: Redis
) -> None:
    keys = await announce(link, "a")
    entries = await handed_to(link, ME)
    await redis.delete(keys.call)
    claimer.claims.claim_all(entries)
    await eventually(lambda: claimer.capacity.running == 0)

    async def is_empty() -> bool:
        return int(await redis.xlen(LANE.calls)) == 0

    await eventually(is_empty)


async def test_suspects_are_claimed_one_at_a_time(link: Link, claimer: Claimer) -> None:
    """Two owners died of one of these; whichever it is must be alone when it kills the third."""
    claimer.claims.claim_all(await died(link, "a", "b", "c", times=2))
    await eventually(lambda: len(claimer.owned) == 1)
    first = claimer.owned[0]
    assert first.deaths == 2
    claimer.claims.got_further("somebody else")
    claimer.claims.got_further(first.call_id)
    await eventually(lambda: len(claimer.owned) == 2)
    claimer.claims.got_further(claimer.call_ids[1])
    await claimer.owns("a", "b", "c")


async def test_a_suspect_that_takes_its_time_holds_the_others_up_for_a_while_only(
    link: Link, claimer: Claimer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ownership.claims._PROBE_S", 0.05)
    claimer.claims.claim_all(await died(link, "a", "b", times=2))
    await claimer.owns("a", "b")


async def test_a_call_that_got_further_is_no_suspect(link: Link, claimer: Claimer) -> None:
    entries = await died(link, "a", "b", times=2)
    for call_id in ("a", "b"):
        step = Commit(1, 1, 0, None, [])
        await link.execute([bus.commit(LANE.keys(call_id), f"{DEAD}-1:1", step)])
    claimer.claims.claim_all(entries)
    await claimer.owns("a", "b")
    assert {each.deaths for each in claimer.owned} == {1}


async def test_a_closed_claimer_leaves_what_waits_to_the_others(
    link: Link, claimer: Claimer
) -> None:
    entries = await died(link, "a", "b", times=2)
    claimer.claims.claim_all(entries)
    await eventually(lambda: len(claimer.owned) == 1)
    claimer.claims.close()
    claimer.claims.got_further(claimer.call_ids[0])
    await eventually(lambda: claimer.capacity.running == 1)
    assert len(claimer.owned) == 1
