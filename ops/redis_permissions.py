"""What edges and workers must be allowed to do in Redis, and which of it they are not.

Rule 1: nothing is done. Redis checks a command against its ACL when a transaction takes it in, and
        the transaction is discarded.
Rule 2: where transactions are not allowed either, nothing is known; without one, commands would be
        carried out.
"""

from __future__ import annotations

import asyncio

from common import redis_url, topology
from common.connection import Connection, NotAllowedError, Request
from common.errors import LinkError, ReplyError, UsageError
from common.keys import GROUP, Lane
from common.redis_url import redacted

__all__ = ["GUARD", "NEEDED", "missing"]

#: Without it everything works, but a promoted replica passes for the primary that it replaced.
GUARD = "+info"

_TIMEOUT_S = 2.0
_NAME = "doctor"


def missing(url: str, lane: Lane) -> list[str] | None:
    """The rules, as `ACL SETUSER` takes them, that the user of the URL lacks on the keys of the
    lane; None where that cannot be found out. Raises UsageError when nobody answers."""
    try:
        return asyncio.run(_missing(url, lane))
    except LinkError as error:
        raise UsageError(f"cannot use the Redis at {redacted(url)}: {error}") from error


async def _missing(url: str, lane: Lane) -> list[str] | None:
    parsed = redis_url.parse(url)
    address = await topology.place_of(parsed, lane).find()
    connection = Connection(address, parsed.access)
    needed = _needed(lane)
    try:
        async with connection.within(_TIMEOUT_S):
            await connection.open()
            (begun,) = await connection.exchange([(b"MULTI",)])
            if isinstance(begun, ReplyError):
                return None
            *replies, _ = await connection.exchange([*needed.values(), (b"DISCARD",)])
    finally:
        await connection.close()
    told = zip(needed, replies, strict=True)
    refused = [
        f"~{lane.tag}:*" if "access one of the keys" in str(reply) else rule
        for rule, reply in told
        if isinstance(reply, NotAllowedError)
    ]
    return list(dict.fromkeys(refused))


def _needed(lane: Lane) -> dict[str, Request]:
    """One example of each; what the scripts in `common/lua/` do is needed as well."""
    stream, hashed, leases = lane.calls, lane.keys(_NAME).call, lane.workers
    return {
        "+ping": (b"PING",),
        GUARD: (b"INFO", b"server"),
        "+time": (b"TIME",),
        "+script|load": (b"SCRIPT", b"LOAD", b"return 1"),
        "+evalsha": (b"EVALSHA", b"0" * 40, 1, hashed),
        "+del": (b"DEL", hashed),
        "+exists": (b"EXISTS", hashed),
        "+expire": (b"EXPIRE", hashed, 1),
        "+hget": (b"HGET", hashed, b"f"),
        "+hincrby": (b"HINCRBY", hashed, b"f", 1),
        "+hmget": (b"HMGET", hashed, b"f"),
        "+hset": (b"HSET", hashed, b"f", b"v"),
        "+xack": (b"XACK", stream, GROUP, b"1-0"),
        "+xadd": (b"XADD", stream, b"NOMKSTREAM", b"*", b"f", b"v"),
        "+xclaim": (b"XCLAIM", stream, GROUP, _NAME, 0, b"1-0"),
        "+xdel": (b"XDEL", stream, b"1-0"),
        "+xgroup": (b"XGROUP", b"DELCONSUMER", stream, GROUP, _NAME),
        "+xinfo": (b"XINFO", b"STREAM", stream),
        "+xpending": (b"XPENDING", stream, GROUP),
        "+xread": (b"XREAD", b"STREAMS", stream, b"0"),
        "+xreadgroup": (b"XREADGROUP", b"GROUP", GROUP, _NAME, b"STREAMS", stream, b"0"),
        "+xrevrange": (b"XREVRANGE", stream, b"+", b"-", b"COUNT", 1),
        "+xtrim": (b"XTRIM", stream, b"MINID", b"0-1"),
        "+zadd": (b"ZADD", leases, b"XX", 1, _NAME),
        "+zrangebyscore": (b"ZRANGEBYSCORE", leases, 0, 1),
        "+zrem": (b"ZREM", leases, _NAME),
        "+zremrangebyscore": (b"ZREMRANGEBYSCORE", leases, 0, 0),
        "+zscore": (b"ZSCORE", leases, _NAME),
    }


NEEDED = tuple(_needed(Lane(0, "{}")))
