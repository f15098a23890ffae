"""What is unsafe about a Redis, and what to do about it. Why each piece of advice is given stands
in the README, under "Redis in production".

Rule 1: nothing is asked here; `redis_facts` has asked.
Rule 2: `fail` is for what drops calls or cannot work; what only makes a failure worse is `warn`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from common.keys import Lane
from common.topology import slot_of
from ops.findings import Finding, failed, found, warned
from ops.redis_facts import ClusterFacts, RedisFacts, SentinelFacts, ServerFacts
from ops.redis_server import is_recent

__all__ = ["advise"]

_ABOUT = "redis"
_LANES_PER_SHARD = 8
_NEARLY_FULL = 0.8


def advise(facts: RedisFacts, lanes: Sequence[Lane]) -> Iterator[Finding]:
    """`lanes` are those of the settings; empty where these cannot be read."""
    watched = bool(facts.sentinels or facts.cluster)
    yield from _sentinels(facts.sentinels)
    if facts.cluster is not None:
        yield from _cluster(facts.cluster, facts.servers, lanes)
    place = facts.place if len(facts.servers) == 1 and not watched else ""
    for server in facts.servers:
        yield from _server(server, place or server.address, watched=watched)


def _server(server: ServerFacts, place: str, *, watched: bool) -> Iterator[Finding]:
    name = f"{server.name} at {place}"
    if server.fault:
        yield failed(_ABOUT, f"{place}: {server.fault}")
        return
    if not server.version:
        yield warned(_ABOUT, f"{name} does not tell its version; make sure that it is 6.2 or newer")
    elif is_recent(server.version):
        yield found(_ABOUT, name)
    else:
        yield failed(_ABOUT, f"{name}: upgrade to 6.2 or newer")
    if server.role == "slave":
        yield failed(_ABOUT, f"{place} is a replica, which takes no calls: name its primary")
    if server.is_cluster_node and not watched:
        yield failed(_ABOUT, f"{place} is a node of a cluster: write redis+cluster://")
    prefix = f"{place}: " if watched else ""
    of_memory = (_eviction(server), *_memory(server), _persistence(server, watched=watched))
    for finding in (*of_memory, *_replicas(server, watched=watched)):
        yield finding._replace(text=prefix + finding.text)


def _eviction(server: ServerFacts) -> Finding:
    if server.eviction == "noeviction":
        return found(_ABOUT, "evicts nothing")
    if server.eviction:
        text = f"maxmemory-policy is {server.eviction}, which drops live calls: set noeviction"
        return failed(_ABOUT, text)
    text = "does not tell its maxmemory-policy; make sure that it is noeviction"
    return warned(_ABOUT, text)


def _memory(server: ServerFacts) -> Iterator[Finding]:
    if server.fullness >= 1:
        yield failed(
            _ABOUT, "is full, and takes nothing: raise maxmemory, or see who else fills it"
        )
    elif server.fullness > _NEARLY_FULL:
        text = f"{server.fullness:.0%} of maxmemory is used; once it is full, no call can be held"
        yield warned(_ABOUT, f"{text}: raise it, or see who else fills it")


def _persistence(server: ServerFacts, *, watched: bool) -> Finding:
    advice = "set appendonly yes, appendfsync everysec"
    if server.appends_to_file:
        return found(_ABOUT, "keeps live calls over a restart")
    if server.appends_to_file is None:
        return warned(_ABOUT, "does not tell whether it keeps its data; make sure that it does")
    if server.takes_snapshots:
        text = "appendonly is off: a restart of Redis goes back to its last snapshot, and agents"
        return warned(_ABOUT, f"{text} forget what came after; {advice}")
    text = "appendonly is off: after a restart of Redis, agents forget what they know of live calls"
    if watched:
        text += ", and replicas that follow an empty primary become empty too"
    return warned(_ABOUT, f"{text}; {advice}")


def _replicas(server: ServerFacts, *, watched: bool) -> Iterator[Finding]:
    if watched and not server.replicas:
        yield warned(_ABOUT, "has no replica that could take its place: add two")
    elif server.replicas and server.min_replicas == 0:
        text = (
            "min-replicas-to-write is 0: a primary that was cut off takes what will be lost; set"
            " min-replicas-to-write 1 and min-replicas-max-lag 2, with two replicas"
        )
        yield warned(_ABOUT, text)
    elif watched and server.min_replicas is not None and server.replicas <= server.min_replicas:
        text = (
            f"has {server.replicas} of {server.min_replicas + 1} replicas: after a failover, the"
            f" rest is too few for min-replicas-to-write {server.min_replicas}, and takes nothing"
        )
        yield warned(_ABOUT, text)


def _sentinels(sentinels: Sequence[SentinelFacts]) -> Iterator[Finding]:
    if not sentinels:
        return
    for sentinel in sentinels:
        if sentinel.fault:
            report = failed if sentinel.primary else warned
            yield report(_ABOUT, f"sentinel {sentinel.address}: {sentinel.fault}")
    primaries = sorted({sentinel.primary for sentinel in sentinels if sentinel.primary})
    count = max(sentinel.sentinels for sentinel in sentinels)
    if len(primaries) > 1:
        yield failed(_ABOUT, f"sentinels disagree on the primary: {', '.join(primaries)}")
    if count < 3:
        text = f"{count} of 3 sentinels: no majority when a machine fails; run three, on three"
        yield warned(_ABOUT, text)
    else:
        yield found(_ABOUT, f"{count} sentinels watch {primaries[0]}")
    if len(sentinels) < min(count, 3):
        yield warned(_ABOUT, "REDIS_URL names too few sentinels to start without one: name three")


def _cluster(
    cluster: ClusterFacts, servers: Sequence[ServerFacts], lanes: Sequence[Lane]
) -> Iterator[Finding]:
    shards = [server.address for server in servers]
    if cluster.uncovered:
        text = f"{cluster.uncovered} slots are served by no node: assign them, or mend their node"
        yield failed(_ABOUT, text)
    if cluster.state != "ok":
        text = f"cluster_state is {cluster.state!r}: no call can be held; see CLUSTER NODES"
        yield failed(_ABOUT, text)
    if len(shards) < 3:
        text = f"{len(shards)} of 3 primaries: no majority when one fails; run three"
        yield warned(_ABOUT, text)
    if lanes:
        yield _spread(cluster, shards, lanes)


def _spread(cluster: ClusterFacts, shards: Sequence[str], lanes: Sequence[Lane]) -> Finding:
    held = Counter(_owner(cluster, slot_of(lane)) for lane in lanes)
    idle = len([shard for shard in shards if not held[shard]])
    spread = ", ".join(f"{held[shard]} on {shard}" for shard in shards)
    if len(lanes) == 1 and len(shards) > 1:
        text = f"TRUNKLINE_LANES is 1, so that all calls use one shard of {len(shards)}"
    elif idle:
        text = f"{len(lanes)} lanes leave {idle} of {len(shards)} shards without calls ({spread})"
    else:
        return found(_ABOUT, f"lanes: {spread}")
    return warned(_ABOUT, f"{text}; set it to {_LANES_PER_SHARD * len(shards)}, everywhere")


def _owner(cluster: ClusterFacts, slot: int) -> str:
    return next((owner for first, last, owner in cluster.shards if first <= slot <= last), "")
