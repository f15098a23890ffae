"""What an operator must know about the Redis behind a URL: every primary of it, and who watches
over them. Asked with short connections of the kind that edges and workers use.

Rule 1: a server that does not tell something, as hosted ones do not, leaves that fact empty.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from common import redis_url
from common.connection import Connection, Reply, Request
from common.errors import LinkError, ReplyError, UsageError
from common.redis_url import Access, Address, Kind, RedisUrl, redacted
from common.topology import SLOTS

__all__ = ["ClusterFacts", "RedisFacts", "SentinelFacts", "ServerFacts", "ask"]

_TIMEOUT_S = 2.0


class ServerFacts(NamedTuple):
    """One primary. What a server does not tell is "" or None; `fault` is why it told nothing."""

    address: str
    software: str = "Redis"
    version: str = ""
    role: str = ""
    eviction: str = ""
    appends_to_file: bool | None = None
    takes_snapshots: bool | None = None
    replicas: int = 0
    min_replicas: int | None = None
    is_cluster_node: bool = False
    #: Of its maxmemory, 1 when it is full; 0 where there is no limit.
    fullness: float = 0.0
    fault: str = ""

    @property
    def name(self) -> str:
        return f"{self.software} {self.version}".strip()


class SentinelFacts(NamedTuple):
    """One sentinel of the URL. `fault` is why it cannot be used, or why it could not act."""

    address: str
    primary: str = ""
    sentinels: int = 0
    fault: str = ""


class ClusterFacts(NamedTuple):
    """`shards` holds the first and the last slot of every range, and whose it is."""

    state: str
    uncovered: int
    shards: tuple[tuple[int, int, str], ...]


class RedisFacts(NamedTuple):
    place: str
    servers: tuple[ServerFacts, ...]
    sentinels: tuple[SentinelFacts, ...] = ()
    cluster: ClusterFacts | None = None

    def __str__(self) -> str:
        kinds = {server.name for server in self.servers}
        return f"{' and '.join(sorted(kinds))} at {self.place}"


def ask(url: str) -> RedisFacts:
    """Raises UsageError, without the password, when nobody answers or lets us in."""
    try:
        parsed = redis_url.parse(url)
        return asyncio.run(_ASKERS[parsed.kind](parsed, redacted(url)))
    except (LinkError, ValueError) as error:
        raise UsageError(f"cannot use the Redis at {redacted(url)}: {error}") from error


async def _single(url: RedisUrl, place: str) -> RedisFacts:
    server = await _server(url.seeds[0], url.access)
    if server.fault:
        raise LinkError(server.fault)
    return RedisFacts(place, (server,))


async def _sentinel(url: RedisUrl, place: str) -> RedisFacts:
    asked = [await _one_sentinel(seed, url) for seed in url.seeds]
    primaries = dict.fromkeys(address for address, _ in asked if address is not None)
    sentinels = tuple(facts for _, facts in asked)
    if not primaries:
        faults = "; ".join(f"{facts.address}: {facts.fault}" for facts in sentinels)
        raise LinkError(f"no sentinel names a primary of {url.service!r} ({faults})")
    servers = [await _server(primary, url.access) for primary in primaries]
    return RedisFacts(place, tuple(servers), sentinels)


async def _one_sentinel(seed: Address, url: RedisUrl) -> tuple[Address | None, SentinelFacts]:
    questions: list[Request] = [
        (b"SENTINEL", b"MASTER", url.service),
        (b"SENTINEL", b"CKQUORUM", url.service),
    ]
    try:
        told, quorum = await _exchange(seed, url.sentinel_access, questions)
    except LinkError as error:
        return None, SentinelFacts(str(seed), fault=str(error))
    if isinstance(told, ReplyError):
        return None, SentinelFacts(str(seed), fault=str(told))
    facts = _pairs(told)
    primary = Address(facts["ip"], int(facts["port"]))
    known = int(facts["num-other-sentinels"]) + 1
    fault = str(quorum) if isinstance(quorum, ReplyError) else ""
    return primary, SentinelFacts(str(seed), str(primary), known, fault)


async def _cluster(url: RedisUrl, place: str) -> RedisFacts:
    reasons = []
    for seed in url.seeds:
        try:
            told = await _exchange(
                seed, url.access, [(b"CLUSTER", b"INFO"), (b"CLUSTER", b"SLOTS")]
            )
            for reply in told:
                if isinstance(reply, ReplyError):
                    raise LinkError(str(reply))
        except LinkError as error:
            reasons.append(f"{seed}: {error}")
            continue
        return await _nodes(seed, url, place, *told)
    raise LinkError("; ".join(reasons))


async def _nodes(seed: Address, url: RedisUrl, place: str, info: Reply, slots: Reply) -> RedisFacts:
    owners = {
        (first, last): Address((host or b"").decode().strip("?") or seed.host, port)
        for first, last, (host, port, *_), *_replicas in sorted(slots, key=lambda one: one[0])
    }
    covered = sum(last - first + 1 for first, last in owners)
    servers = [await _server(owner, url.access) for owner in dict.fromkeys(owners.values())]
    shards = tuple((first, last, str(owner)) for (first, last), owner in owners.items())
    state = _lines(info).get("cluster_state", "")
    return RedisFacts(place, tuple(servers), cluster=ClusterFacts(state, SLOTS - covered, shards))


async def _server(address: Address, access: Access) -> ServerFacts:
    settings = [(b"CONFIG", b"GET", name) for name in (b"save", b"min-replicas-to-write")]
    try:
        info, *told = await _exchange(address, access, [(b"INFO",), *settings])
    except LinkError as error:
        return ServerFacts(str(address), fault=str(error))
    facts = _lines(info)
    configured: dict[str, str] = {}
    for reply in told:
        configured |= _pairs(reply)
    valkey = facts.get("valkey_version", "")
    minimum = configured.get("min-replicas-to-write")
    return ServerFacts(
        str(address),
        "Valkey" if valkey else "Redis",
        valkey or facts.get("redis_version", ""),
        facts.get("role", ""),
        facts.get("maxmemory_policy", ""),
        facts["aof_enabled"] == "1" if "aof_enabled" in facts else None,
        bool(configured["save"]) if "save" in configured else None,
        int(facts.get("connected_slaves", "0")),
        int(minimum) if minimum is not None else None,
        facts.get("cluster_enabled") == "1",
        _fullness(facts),
    )


def _fullness(facts: dict[str, str]) -> float:
    limit = int(facts.get("maxmemory", "0"))
    return int(facts.get("used_memory", "0")) / limit if limit else 0.0


def _lines(info: Reply) -> dict[str, str]:
    """Empty where INFO was refused."""
    lines = info.decode().splitlines() if isinstance(info, bytes) else []
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _pairs(reply: Reply) -> dict[str, str]:
    """Empty where the question was refused."""
    words = [] if isinstance(reply, ReplyError) else [word.decode() for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))


async def _exchange(address: Address, access: Access, requests: list[Request]) -> list[Reply]:
    connection = Connection(address, access)
    try:
        async with connection.within(_TIMEOUT_S):
            await connection.open()
            return await connection.exchange(requests)
    finally:
        await connection.close()


_ASKERS = {Kind.SINGLE: _single, Kind.SENTINEL: _sentinel, Kind.CLUSTER: _cluster}
