"""One connection to Redis; whole batches of requests in one write, their replies in one pass.

The only file that imports redis-py. Measured for the design: an awaited `xadd` costs 125 us of
client CPU, a redis-py pipeline 16 us a command, bulk-packed requests 1 us.

Rule 1: nothing is retried here. redis-py's own retries would repeat commands that must not be
        repeated; the caller knows which of its batches are idempotent.
Rule 2: a link serves one task at a time, and blocking reads never share one with writes.
Rule 3: after a fault or a cancellation the connection is dropped, so that a late reply can never
        answer a later request.
Rule 4: a server may have been replaced by one that knows less: restarted, or promoted before it
        had everything. Every new connection asks who is there, and says so when it is another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from common.errors import LinkError, ReplyError, ServerChangedError, UsageError
from common.scripts import SCRIPTS

__all__ = ["Link", "Reply", "Request"]

Request: TypeAlias = tuple[bytes | str | int, ...]
#: What RESP2 gives: bytes, int, None, a list of these, or a ReplyError in their place.
Reply: TypeAlias = Any

# hiredis' stub knows only tuples of one element.
_pack: Callable[[Any], bytes] = hiredis.pack_command


class Link:
    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._connection = _connection(url)
        self._server_id = ""

    @property
    def server_id(self) -> str:
        """Which server this link spoke to last; empty before the first connection, and where the
        server refuses to tell. It is another after a restart, and after a promotion."""
        return self._server_id

    async def execute(self, requests: Sequence[Request], *, block_s: float = 0.0) -> list[Reply]:
        """The replies, in order; an error reply is a ReplyError in the list, not raised.

        `block_s` is how long Redis itself may wait before it answers. Raises LinkError when
        Redis does not answer in time, cannot serve now, or the connection breaks; then nothing is
        known about which of the requests were carried out. Raises ServerChangedError, once, when
        the server is another one than before: then none was, and the next will be.
        """
        try:
            async with asyncio.timeout(self._timeout_s + block_s):
                if not self._connection.is_connected:
                    await self._connect()
                return await self._exchange(requests)
        except (RedisError, OSError, TimeoutError) as error:
            await self._connection.disconnect(nowait=True)
            raise LinkError(f"Redis does not answer: {str(error) or 'time-out'}") from None

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def _connect(self) -> None:
        await self._connection.connect()
        server, replication, *_ = await self._send([*_WHO_IS_THERE, *_LOAD_SCRIPTS])
        self._recognise(_server_id(server, replication))

    def _recognise(self, server_id: str) -> None:
        known, self._server_id = self._server_id, server_id or self._server_id
        if known and self._server_id != known:
            raise ServerChangedError("Redis is another server than before")

    async def _exchange(self, requests: Sequence[Request]) -> list[Reply]:
        replies = await self._send(requests)
        lost = next((i for i, r in enumerate(replies) if isinstance(r, _ScriptLostError)), None)
        if lost is None:
            return replies
        # Somebody flushed the scripts. Requests behind the lost one may have relied on it, and
        # all of ours can be repeated: begin again there.
        await self._send(_LOAD_SCRIPTS)
        return replies[:lost] + await self._send(requests[lost:])

    async def _send(self, requests: Sequence[Request]) -> list[Reply]:
        connection = self._connection
        packed = b"".join([_pack(request) for request in requests])
        await connection.send_packed_command(packed, check_health=False)
        replies: list[Reply] = []
        for _ in requests:
            try:
                replies.append(await connection.read_response())
            except NoScriptError as error:
                replies.append(_ScriptLostError(str(error)))
            except ResponseError as error:
                if _is_passing(error):
                    raise
                replies.append(ReplyError(str(error)))
        return replies


# Redis is up, but cannot serve just now: loading, full, read-only after a failover, a slot on the
# move. For the caller that is the same as no answer.
_PASSING = (
    "BUSY ",
    "LOADING",
    "OOM",
    "MISCONF",
    "READONLY",
    "NOREPLICAS",
    "MASTERDOWN",
    "TRYAGAIN",
)


def _is_passing(error: ResponseError) -> bool:
    is_known = isinstance(error, OutOfMemoryError | ReadOnlyError | TryAgainError)
    # Before Redis 7, the error of a command in a script comes wrapped in one about the script.
    return is_known or str(error).rpartition(": -")[2].startswith(_PASSING)


class _ScriptLostError(ReplyError):
    pass


# Two requests, because Redis 6.2 tells one section at a time.
_WHO_IS_THERE: list[Request] = [(b"INFO", b"server"), (b"INFO", b"replication")]
_LOAD_SCRIPTS: list[Request] = [(b"SCRIPT", b"LOAD", script.source) for script in SCRIPTS.values()]


def _server_id(server: Reply, replication: Reply) -> str:
    """The process and the history of its data. The second changes when a replica is promoted, so
    a primary that was demoted and came back is another as well."""
    run_id = _fact(server, b"run_id")
    return f"{run_id}/{_fact(replication, b'master_replid')}" if run_id else ""


def _fact(info: Reply, name: bytes) -> str:
    """Empty where the server has no such line, or refuses INFO."""
    lines = [] if isinstance(info, ReplyError) else info.splitlines()
    facts = dict(line.split(b":", 1) for line in lines if b":" in line)
    return facts.get(name, b"").decode("ascii", "replace")


def _connection(url: str) -> Any:  # redis-py leaves its connections untyped
    """Time-outs are left to `Link`, one for a whole batch; RESP2 because its replies are the
    same for every version of Redis that we run on."""
    try:
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=None,
        )
    except ValueError as error:
        raise UsageError(f"REDIS_URL: {error}") from None
    return pool.make_connection()  # type: ignore[no-untyped-call]
