"""The verbs between edges and workers, as requests to Redis; no I/O, `common.link` sends them.

Every request here may be repeated after a lost reply without changing the outcome: events carry
explicit ids, scripts recognise themselves, the rest is idempotent by nature.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from common import scripts
from common.errors import ReplyError
from common.keys import ENDED_S, FIELD, GROUP, TTL_S, CallKeys, Lane

__all__ = [
    "Claim",
    "ClaimRefusal",
    "Commit",
    "CommitAnswer",
    "RestoreAnswer",
    "Restored",
    "Taken",
    "announce",
    "append_event",
    "claim",
    "commit",
    "create_group",
    "discard",
    "finish",
    "has_ended",
    "is_already_stored",
    "is_group_missing",
    "owner_of",
    "read_claim",
    "read_commit",
    "read_entries",
    "read_restore",
    "read_taken",
    "release",
    "restore",
    "take",
    "taken_before",
    "trim_commands",
    "withdraw",
]

Request = tuple[bytes | str | int, ...]

#: How long an edge may take to tell another server than before what it has read of a call.
_EDGE_MS = 5000


# Edge.


def announce(
    keys: CallKeys, edge_id: str, first_event: bytes, *, read_up_to: int = 0, keep_ms: int = 0
) -> Request:
    """Answers the sequence of the last event that is stored, or that the call `has_ended`.
    Announced again, because Redis may have lost the call, the last command that the edge has read
    is told, and the call is kept `keep_ms` for the worker that still runs it."""
    return scripts.ANNOUNCE.call(
        (keys.calls, keys.call, keys.events, keys.commands, keys.ended),
        keys.call_id,
        edge_id,
        first_event,
        TTL_S,
        read_up_to,
        keep_ms,
    )


def has_ended(announced: Any) -> bool:
    """Whether the call that was announced again is one that its owner has ended."""
    return bool(announced == b"ENDED")


def append_event(keys: CallKeys, sequence: int, event: bytes) -> Request:
    """Answers the entry's id, or None when the stream is gone, as the call has ended or Redis has
    lost it: a late event must not create a stream that nobody would delete."""
    return (b"XADD", keys.events, b"NOMKSTREAM", b"%d-0" % sequence, FIELD, event)


def is_already_stored(reply: Any) -> bool:
    """Whether an append failed because an earlier try of it had succeeded."""
    return isinstance(reply, ReplyError) and "equal or smaller" in str(reply)


def trim_commands(keys: CallKeys, read_up_to: int) -> Request:
    return (b"XTRIM", keys.commands, b"MINID", b"%d-0" % (read_up_to + 1))


def withdraw(keys: CallKeys) -> Request:
    return scripts.WITHDRAW.call((keys.calls, keys.call, keys.events, keys.commands), GROUP)


# Worker.


class Taken(NamedTuple):
    """A call that the consumer group handed to this worker."""

    entry_id: bytes
    call_id: str


class Claim(NamedTuple):
    """How far a call has come; where its new owner goes on. See `lua/commit.lua`."""

    commit: int
    cursor: int
    partial: int
    out: int
    state: bytes
    start: bytes  # the call's first event, encoded: it may have left the stream already
    edge_id: str = ""
    deaths: int = 0  # of owners, one after another, without the call getting any further


class ClaimRefusal(StrEnum):
    GONE = "GONE"  # the call has ended
    TAKEN = "TAKEN"  # another worker owns it
    KEPT = "KEPT"  # for the owner that Redis has forgotten, or until its edge was heard; ask again
    SUSPECT = "SUSPECT"  # it may be what killed its owners; claim it by itself


class Commit(NamedTuple):
    """One step of a call, see `lua/commit.lua`. `state` is None when it has not changed."""

    number: int
    cursor: int
    partial: int
    state: bytes | None
    commands: Sequence[bytes]


class Restored(NamedTuple):
    """What its owner remembers of a call: the last commit that was answered, and the latest
    commands of it and those before, from sequence `first` on."""

    number: int
    cursor: int
    partial: int
    state: bytes
    first: int
    commands: Sequence[bytes]


class RestoreAnswer(StrEnum):
    RESTORED = "RESTORED"
    INTACT = "INTACT"  # nothing was lost
    FENCED = "FENCED"  # another owns the call, or has ended it
    GONE = "GONE"  # not announced again, or not yet


class CommitAnswer(StrEnum):
    COMMITTED = "COMMITTED"
    ALREADY = "ALREADY"
    FENCED = "FENCED"
    CONFLICT = "CONFLICT"
    GONE = "GONE"


_COMMIT_ANSWERS = {answer.encode(): answer for answer in CommitAnswer}


def create_group(lane: Lane) -> Request:
    """From entry 0, never `$`: calls may have been announced before the first worker came.
    Answers a BUSYGROUP error when the group exists."""
    return (b"XGROUP", b"CREATE", lane.calls, GROUP, b"0", b"MKSTREAM")


def is_group_missing(reply: Any) -> bool:
    return isinstance(reply, ReplyError) and str(reply).startswith("NOGROUP")


def take(lane: Lane, consumer: str, *, block_ms: int) -> Request:
    """One call at a time: a greedy read would take the whole burst from the other workers."""
    return (
        b"XREADGROUP", b"GROUP", GROUP, consumer, b"COUNT", 1, b"BLOCK", block_ms,
        b"STREAMS", lane.calls, b">",
    )  # fmt: skip


def taken_before(lane: Lane, consumer: str) -> Request:
    """What was handed to this consumer and not finished: the reply to a `take` may have been
    lost on the way."""
    return (b"XREADGROUP", b"GROUP", GROUP, consumer, b"STREAMS", lane.calls, b"0")


def read_taken(reply: Any) -> list[Taken]:
    return [taken for _, entries in reply or () for taken in read_entries(entries)]


def read_entries(entries: Any) -> list[Taken]:
    return [Taken(entry_id, fields[1].decode()) for entry_id, fields in entries if fields]


def discard(lane: Lane, entry_id: bytes) -> list[Request]:
    """Drop a dispatch entry whose call has ended."""
    return [(b"XACK", lane.calls, GROUP, entry_id), (b"XDEL", lane.calls, entry_id)]


def claim(
    keys: CallKeys, token: str, *, suspects: bool = False, edge_ms: int = _EDGE_MS
) -> Request:
    """`token` is `<worker>:<n>`. `suspects`: also a call whose last owners died at one point.
    `edge_ms`: how long an edge is waited for that has not announced the call to this server."""
    return scripts.CLAIM.call(
        (keys.calls, keys.call, keys.workers), token, GROUP, int(suspects), edge_ms
    )


def read_claim(reply: Any) -> Claim | ClaimRefusal:
    """Raises ReplyError when Redis refused the request."""
    if isinstance(reply, list):
        claim = Claim(*reply)
        return claim._replace(edge_id=reply[6].decode())
    if isinstance(reply, ReplyError):
        raise reply
    return ClaimRefusal(reply.decode())


def commit(keys: CallKeys, token: str, step: Commit) -> Request:
    has_state = step.state is not None
    return scripts.COMMIT.call(
        (keys.call, keys.events, keys.commands),
        token,
        step.number,
        step.cursor,
        step.partial,
        TTL_S,
        b"1" if has_state else b"0",
        step.state or b"",
        *step.commands,
    )


def finish(keys: CallKeys, token: str) -> Request:
    touched = (keys.calls, keys.call, keys.events, keys.commands, keys.ended)
    return scripts.FINISH.call(touched, token, GROUP, keys.call_id, ENDED_S)


def read_commit(reply: Any) -> CommitAnswer:
    """Raises ReplyError when Redis refused the request."""
    if isinstance(reply, ReplyError):
        raise reply
    return _COMMIT_ANSWERS[reply]


def restore(keys: CallKeys, token: str, known: Restored, *, lease_ms: int) -> Request:
    return scripts.RESTORE.call(
        (keys.calls, keys.call, keys.commands, keys.workers, keys.ended),
        token,
        GROUP,
        lease_ms,
        TTL_S,
        known.number,
        known.cursor,
        known.partial,
        known.state,
        keys.call_id,
        known.first,
        *known.commands,
    )


def read_restore(reply: Any) -> RestoreAnswer:
    """Raises ReplyError when Redis refused the request."""
    if isinstance(reply, ReplyError):
        raise reply
    return RestoreAnswer(reply.decode())


def release(keys: CallKeys, token: str) -> Request:
    """Answers RELEASED, ALREADY, FENCED or GONE."""
    return scripts.RELEASE.call((keys.calls, keys.call), token, GROUP, keys.call_id)


def owner_of(keys: CallKeys) -> Request:
    """Answers the owner's token, empty when nobody owns the call, None when it is gone."""
    return (b"HGET", keys.call, b"token")
