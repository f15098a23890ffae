from __future__ import annotations

import re
from typing import Any

import pytest

from common.keys import lanes
from common.topology import SLOTS
from ops.findings import Level
from ops.redis_advice import advise
from ops.redis_facts import ClusterFacts, RedisFacts, SentinelFacts, ServerFacts

SOUND = ServerFacts(
    "a:1",
    version="7.2.4",
    role="master",
    eviction="noeviction",
    appends_to_file=True,
    takes_snapshots=True,
    replicas=2,
    min_replicas=1,
)
WATCHERS = tuple(SentinelFacts(f"s:{n}", "a:1", 3) for n in range(3))
THIRD = SLOTS // 3
RANGES = ((0, THIRD, "a:1"), (THIRD + 1, 2 * THIRD, "b:1"), (2 * THIRD + 1, SLOTS - 1, "c:1"))
SHARDS = tuple(SOUND._replace(address=owner) for _, _, owner in RANGES)


def single(**changes: Any) -> RedisFacts:
    return RedisFacts("redis://a:1", (SOUND._replace(**changes),))


def watched(**changes: Any) -> RedisFacts:
    return RedisFacts("redis+sentinel://s/calls", (SOUND._replace(**changes),), WATCHERS)


def sharded(**changes: Any) -> RedisFacts:
    facts = ClusterFacts("ok", 0, RANGES)._replace(**changes)
    return RedisFacts("redis+cluster://a", SHARDS, cluster=facts)


def bad(facts: RedisFacts, count: int = 24) -> list[tuple[Level, str]]:
    found = advise(facts, lanes("tl", count))
    return [(level, text) for level, _, text in found if level is not Level.OK]


@pytest.mark.parametrize("facts", [single(), single(replicas=0), watched(), sharded()])
def test_what_is_sound_needs_no_advice(facts: RedisFacts) -> None:
    assert bad(facts) == []


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        (single(version="6.0.16"), Level.FAIL, "Redis 6.0.16 at redis://a:1: upgrade to 6.2"),
        (single(version=""), Level.WARN, "does not tell its version"),
        (single(role="slave"), Level.FAIL, "redis://a:1 is a replica"),
        (single(is_cluster_node=True), Level.FAIL, "is a node of a cluster: write redis+cluster"),
        (single(fullness=1.0), Level.FAIL, "is full, and takes nothing: raise maxmemory"),
        (single(fullness=0.9), Level.WARN, "90% of maxmemory is used"),
        (single(eviction="allkeys-lru"), Level.FAIL, "is allkeys-lru, which drops live calls"),
        (single(eviction=""), Level.WARN, "does not tell its maxmemory-policy"),
        (single(appends_to_file=None), Level.WARN, "does not tell whether it keeps its data"),
        (single(appends_to_file=False), Level.WARN, "goes back to its last snapshot"),
        (
            single(appends_to_file=False, takes_snapshots=False),
            Level.WARN,
            "agents forget what they know of live calls; set appendonly yes",
        ),
        (single(min_replicas=0), Level.WARN, "set min-replicas-to-write 1"),
        (watched(min_replicas=0), Level.WARN, "a:1: min-replicas-to-write is 0"),
        (watched(replicas=0), Level.WARN, "a:1: has no replica"),
        (watched(replicas=1), Level.WARN, "a:1: has 1 of 2 replicas: after a failover"),
        (watched(fault="time-out"), Level.FAIL, "a:1: time-out"),
        (
            watched(appends_to_file=False, takes_snapshots=False),
            Level.WARN,
            "replicas that follow an empty primary become empty too",
        ),
        (sharded(uncovered=7), Level.FAIL, "7 slots are served by no node"),
        (sharded(state="fail"), Level.FAIL, "cluster_state is 'fail'"),
    ],
)
def test_each_danger_is_named(facts: RedisFacts, level: Level, text: str) -> None:
    ((found, said),) = bad(facts)
    assert found is level
    assert text in said


@pytest.mark.parametrize(
    ("sentinels", "level", "text"),
    [
        ([SentinelFacts("s:0", "a:1", 2)] * 2, Level.WARN, "2 of 3 sentinels"),
        ([SentinelFacts("s:0", "a:1", 3)], Level.WARN, "REDIS_URL names too few sentinels"),
        ([*WATCHERS, SentinelFacts("s:9", fault="away")], Level.WARN, "sentinel s:9: away"),
        ([*WATCHERS, SentinelFacts("s:9", "b:1", 3)], Level.FAIL, "disagree on .*: a:1, b:1"),
        ([*WATCHERS, SentinelFacts("s:9", "a:1", 3, "NOQUORUM")], Level.FAIL, "s:9: NOQUORUM"),
    ],
)
def test_each_danger_of_sentinels_is_named(
    sentinels: list[SentinelFacts], level: Level, text: str
) -> None:
    ((found, said),) = bad(RedisFacts("redis+sentinel://s/calls", (SOUND,), tuple(sentinels)))
    assert found is level
    assert re.search(text, said)


def test_two_primaries_are_too_few() -> None:
    facts = RedisFacts(
        "redis+cluster://a",
        SHARDS[:2],
        cluster=ClusterFacts("ok", 0, ((0, 8000, "a:1"), (8001, SLOTS - 1, "b:1"))),
    )
    assert bad(facts) == [
        (Level.WARN, "2 of 3 primaries: no majority when one fails; run three"),
    ]


def test_one_lane_uses_one_shard() -> None:
    ((level, text),) = bad(sharded(), count=1)
    assert level is Level.WARN
    assert text.startswith("TRUNKLINE_LANES is 1, so that all calls use one shard of 3")
    assert text.endswith("set it to 24, everywhere")


def test_lanes_that_leave_a_shard_idle_are_counted() -> None:
    ((level, text),) = bad(sharded(), count=2)
    assert level is Level.WARN
    assert text.startswith("2 lanes leave ")


def test_settings_that_cannot_be_read_have_no_lanes() -> None:
    assert bad(sharded(), count=0) == []
