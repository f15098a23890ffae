"""One connection to one server of Redis; a whole batch of requests in one write, their replies in
one pass.

The only file of the edge and the workers that imports redis-py. Measured for the design: an
awaited `xadd` costs 125 us of client CPU, a redis-py pipeline 16 us a command, bulk-packed
requests 1 us.

Rule 1: nothing is retried here. redis-py's own retries would repeat commands that must not be
        repeated; the caller knows which of its batches are idempotent.
Rule 2: after a fault or a cancellation the connection is dropped, so that a late reply can never
        answer a later request.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeAlias

import hiredis
from redis import asyncio as redis_py
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from common.errors import LinkError, ReplyError
from common.redis_url import Access, Address

__all__ = ["Connection", "NotAllowedError", "Reply", "Request", "ScriptLostError"]

Request: TypeAlias = tuple[bytes | str | int, ...]
#: What RESP2 gives: bytes, int, None, a list of these, or a ReplyError in their place.
Reply: TypeAlias = Any

# hiredis' stub knows only tuples of one element.
_pack: Callable[[Any], bytes] = hiredis.pack_command


class ScriptLostError(ReplyError):
    """The server does not have the script: load it, and ask again."""


class NotAllowedError(ReplyError):
    """The user of Redis that we are may not do this."""


class Connection:
    def __init__(self, address: Address, access: Access) -> None:
        self._inner = _redis_py_connection(address, access)

    @property
    def is_open(self) -> bool:
        return bool(self._inner.is_connected)

    @contextlib.asynccontextmanager
    async def within(self, timeout_s: float) -> AsyncIterator[None]:
        """What happens inside ends in time, or with a LinkError and a closed connection."""
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            await self.close()
            raise LinkError(f"Redis does not answer: {_told(error)}") from None
        except asyncio.CancelledError:
            await self.close()
            raise

    async def open(self) -> None:
        await self._inner.connect()

    async def exchange(self, requests: Sequence[Request]) -> list[Reply]:
        """The replies, in order; to be called `within` a time. An error reply is a ReplyError in
        the list, unless it says that the server cannot serve now, or is the wrong one."""
        packed = b"".join([_pack(request) for request in requests])
        await self._inner.send_packed_command(packed, check_health=False)
        replies: list[Reply] = []
        for _ in requests:
            try:
                replies.append(await self._inner.read_response())
            except NoScriptError as error:
                replies.append(ScriptLostError(str(error)))
            except ResponseError as error:
                if _is_passing(error):
                    raise
                kind = NotAllowedError if _is_not_allowed(error) else ReplyError
                replies.append(kind(str(error)))
        return replies

    async def close(self) -> None:
        await self._inner.disconnect(nowait=True)


# Redis is up, but cannot serve just now: loading, full, demoted, or the slot has gone elsewhere.
# For the caller that is the same as no answer. NOREPLICAS is what a primary says that a failover
# has left alone: the next look-up finds the new one.
_PASSING = (
    "BUSY ",
    "LOADING",
    "OOM",
    "MISCONF",
    "READONLY",
    "NOREPLICAS",
    "MASTERDOWN",
    "TRYAGAIN",
    "UNBLOCKED",
)
_PASSING_TYPES = AskError | ClusterDownError | OutOfMemoryError | ReadOnlyError | TryAgainError


def _is_passing(error: ResponseError) -> bool:
    # Before Redis 7, the error of a command in a script comes wrapped in one about the script.
    is_told = str(error).rpartition(": -")[2].startswith(_PASSING)
    return is_told or isinstance(error, _PASSING_TYPES)  # MOVED is a kind of AskError


def _is_not_allowed(error: ResponseError) -> bool:
    # What a script may not, has no code.
    return isinstance(error, NoPermissionError) or "executing the script can't run" in str(error)


def _told(error: Exception) -> str:
    """With the code, which redis-py cuts off where it has a class of its own for it, and without
    the name of our script and the full stop: it goes into a sentence."""
    code = getattr(error, "status_code", None)
    said = str(error).partition(" script: ")[0].rstrip(".")
    return f"{code} {said}" if code else said or "time-out"


def _redis_py_connection(address: Address, access: Access) -> Any:  # redis-py leaves it untyped
    """Time-outs are left to `within`, one for a whole batch; RESP2 because its replies are the
    same for every version of Redis that we run on."""
    shared: dict[str, Any] = {
        "username": access.username or None,
        "password": access.password or None,
        "db": access.database,
        "client_name": access.client_name or None,
        "driver_info": None,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }
    if not address.port:
        return redis_py.UnixDomainSocketConnection(path=address.host, **shared)
    if access.tls is None:
        return redis_py.Connection(host=address.host, port=address.port, **shared)
    shared |= access.tls
    return redis_py.SSLConnection(host=address.host, port=address.port, **shared)
