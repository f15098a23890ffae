"""The way of one lane to its server in Redis, wherever that is at the moment.

Rule 1: nothing is retried here; the caller knows which of its batches are idempotent.
Rule 2: a link serves one task at a time, and blocking reads never share one with writes.
Rule 3: a connection that had a fault is dropped, and the server looked for again.
Rule 4: a server that does not let us do what we must cannot serve us. Whoever runs it can mend
        that, so it is waited for, as for one that is away.
Rule 5: a server may have been replaced by one that knows less: restarted, or promoted before it
        had everything. Every new connection asks who is there, and says so when it is another.
"""

from __future__ import annotations

from collections.abc import Sequence

from common import redis_url, topology
from common.connection import Connection, NotAllowedError, Reply, Request, ScriptLostError
from common.errors import LinkError, ServerChangedError, UsageError
from common.keys import Lane
from common.scripts import SCRIPTS

__all__ = ["Link", "Reply", "Request"]


class Link:
    """`lane` may be left out where one server holds all lanes. Raises UsageError for a URL that
    cannot be understood."""

    def __init__(self, url: str, *, timeout_s: float, lane: Lane | None = None) -> None:
        try:
            parsed = redis_url.parse(url)
        except ValueError as error:
            raise UsageError(f"REDIS_URL: {error}") from None
        self._timeout_s = timeout_s
        self._place = topology.place_of(parsed, lane)
        self._access = parsed.access
        self._connection: Connection | None = None
        self._server_id = ""
        self._is_doubted = False

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
        connection = self._connection
        if connection is None or not connection.is_open or self._is_doubted:
            await self.close()
            connection = await self._connect()
        async with connection.within(self._timeout_s + block_s):
            return await _exchange(connection, requests)

    def doubt(self) -> None:
        """Look for the server anew before the next request: somebody has found it replaced. Who was
        demoted may go on answering those who only read."""
        self._is_doubted = True

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> Connection:
        self._is_doubted = False
        connection = Connection(await self._place.find(), self._access)
        try:
            async with connection.within(self._timeout_s):
                await connection.open()
                server, replication, *loaded = await connection.exchange(_GREETING)
            if _fact(replication, b"role") == "slave":
                raise LinkError("Redis does not answer: what was found is a replica")
            _mind_what_we_may(loaded)
        except LinkError:
            await connection.close()
            self._place.doubt()
            raise
        self._connection = connection
        self._recognise(_server_id(server, replication))
        return connection

    def _recognise(self, server_id: str) -> None:
        known, self._server_id = self._server_id, server_id or self._server_id
        if known and self._server_id != known:
            raise ServerChangedError("Redis is another server than before")


async def _exchange(connection: Connection, requests: Sequence[Request]) -> list[Reply]:
    replies = await connection.exchange(requests)
    unserved = (i for i, reply in enumerate(replies) if isinstance(reply, _UNSERVED))
    lost = next(unserved, None)
    if lost is None:
        return replies
    _mind_what_we_may(replies[lost : lost + 1])
    # Somebody flushed the scripts. Requests behind the lost one may have relied on it, and
    # all of ours can be repeated: begin again there.
    _mind_what_we_may(await connection.exchange(_LOAD_SCRIPTS))
    return replies[:lost] + await connection.exchange(requests[lost:])


def _mind_what_we_may(replies: list[Reply]) -> None:
    for reply in replies:
        if isinstance(reply, NotAllowedError):
            raise LinkError(f"Redis does not let us (ask `trunkline doctor`): {reply}")


_UNSERVED = (NotAllowedError, ScriptLostError)
_LOAD_SCRIPTS: list[Request] = [(b"SCRIPT", b"LOAD", script.source) for script in SCRIPTS.values()]
# Two questions, because Redis 6.2 tells one section at a time.
_GREETING: list[Request] = [(b"INFO", b"server"), (b"INFO", b"replication"), *_LOAD_SCRIPTS]


def _server_id(server: Reply, replication: Reply) -> str:
    """The process and the history of its data. The second changes when a replica is promoted, so
    a primary that was demoted and came back is another as well."""
    run_id = _fact(server, b"run_id")
    return f"{run_id}/{_fact(replication, b'master_replid')}" if run_id else ""


def _fact(info: Reply, name: bytes) -> str:
    """Empty where the server has no such line, or refuses INFO."""
    lines = info.splitlines() if isinstance(info, bytes) else []
    facts = dict(line.split(b":", 1) for line in lines if b":" in line)
    return facts.get(name, b"").decode("ascii", "replace")
