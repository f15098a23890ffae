from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from common.errors import UsageError
from ops import redis_facts, redis_server
from tests.redis_topologies import SERVICE, Cluster, Sentinel, binary, cluster, sentinel


@pytest.fixture(scope="module")
def trio() -> Iterator[Sentinel]:
    with sentinel() as trio:
        yield trio


@pytest.fixture(scope="module")
def shards() -> Iterator[Cluster]:
    with cluster(replicas=1) as shards:
        yield shards


def test_a_server_tells_its_facts() -> None:
    with redis_server.running(binary()) as url:
        facts = redis_facts.ask(url)
    assert str(facts) == f"Redis {binary().version} at {url}"
    (server,) = facts.servers
    assert (server.name, server.role) == (f"Redis {binary().version}", "master")
    assert server.eviction == "noeviction"
    assert server.appends_to_file is False
    assert server.takes_snapshots is False
    assert (server.replicas, server.min_replicas) == (0, 0)
    assert not server.is_cluster_node
    assert server.fullness == 0


def test_a_server_tells_how_full_it_is() -> None:
    with redis_server.running(binary()) as url:
        with redis_py.Redis.from_url(url) as client:
            client.config_set("maxmemory", "1mb")
            client.config_set("maxmemory-policy", "noeviction")
        (small,) = redis_facts.ask(url).servers
        with redis_py.Redis.from_url(url) as client:
            client.config_set("maxmemory", "1gb")
        (large,) = redis_facts.ask(url).servers
    assert 0 < large.fullness < 0.1
    assert small.fullness > 0.5


def test_what_a_server_does_not_tell_is_empty() -> None:
    with redis_server.running(binary()) as url:
        with redis_py.Redis.from_url(url) as client:
            client.acl_setuser(
                "mute", True, nopass=True, keys="*", commands=["+@all", "-info", "-config"]
            )
        facts = redis_facts.ask(f"{url}?username=mute&password=any")
    (server,) = facts.servers
    assert (server.version, server.eviction, server.role) == ("", "", "")
    assert server.appends_to_file is None
    assert server.takes_snapshots is None
    assert server.min_replicas is None
    assert str(facts) == f"Redis at {url}"


def test_sentinels_and_their_primary_tell_their_facts(trio: Sentinel) -> None:
    facts = redis_facts.ask(trio.url)
    (server,) = facts.servers
    primary = f"127.0.0.1:{trio.primary().port}"
    assert (server.address, server.role) == (primary, "master")
    assert (server.replicas, server.min_replicas) == (2, 1)
    assert [sentinel.primary for sentinel in facts.sentinels] == [primary] * 3
    assert [sentinel.sentinels for sentinel in facts.sentinels] == [3] * 3
    assert not any(sentinel.fault for sentinel in facts.sentinels)


def test_a_sentinel_that_is_away_is_a_fault_and_no_more(trio: Sentinel) -> None:
    known = trio.sentinels[0].port
    facts = redis_facts.ask(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{known}/{SERVICE}")
    assert len(facts.servers) == 1
    assert [bool(sentinel.fault) for sentinel in facts.sentinels] == [True, False]


def test_a_service_that_no_sentinel_knows_cannot_be_used(trio: Sentinel) -> None:
    with pytest.raises(UsageError, match="no sentinel names a primary of 'nobody'"):
        redis_facts.ask(trio.url.replace(SERVICE, "nobody"))


def test_every_primary_of_a_cluster_tells_its_facts(shards: Cluster) -> None:
    facts = redis_facts.ask(shards.url)
    assert [server.address for server in facts.servers] == [
        f"127.0.0.1:{node.port}" for node in shards.primaries
    ]
    assert all(server.is_cluster_node and server.replicas == 1 for server in facts.servers)
    assert facts.cluster is not None
    assert (facts.cluster.state, facts.cluster.uncovered) == ("ok", 0)
    assert [owner for _, _, owner in facts.cluster.shards] == [
        server.address for server in facts.servers
    ]


def test_slots_that_nobody_serves_are_counted_and_lost_nodes_named(shards: Cluster) -> None:
    shards.nodes[0].client.execute_command("CLUSTER DELSLOTS", 5, 6)
    shards.nodes[2].pause()
    try:
        facts = redis_facts.ask(f"redis+cluster://127.0.0.1:1,127.0.0.1:{shards.nodes[0].port}")
    finally:
        shards.nodes[2].resume()
    assert facts.cluster is not None
    assert facts.cluster.uncovered == 2
    assert [bool(server.fault) for server in facts.servers] == [False, False, True]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@127.0.0.1:1/0",
        "unix:///no/such/socket",
        "redis:",
        "redis+sentinel://:secret@127.0.0.1:1,127.0.0.1:2/calls",
        "redis+cluster://:secret@127.0.0.1:1,127.0.0.1:2",
    ],
)
def test_a_server_that_cannot_be_asked_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="cannot use the Redis at") as caught:
        redis_facts.ask(url)
    assert "secret" not in str(caught.value)
