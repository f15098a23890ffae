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
from common.keys import FIELD, GROUP, TTL_S, CallKeys, Lane

__all__ = [
    "Claim",
    "ClaimRefusal",
    "Commit",
    "CommitAnswer",
    "Taken",
    "announce",
    "append_event",
    "claim",
    "commit",
    "create_group",
    "discard",
    "finish",
    "is_already_stored",
    "is_group_missing",
    "leave_group",
    "read_answer",
    "read_claim",
    "read_taken",
    "take",
    "taken_before",
    "trim_commands",
    "withdraw",
]

Request = tuple[bytes | str | int, ...]


# Edge.


def announce(keys: CallKeys, edge_id: str, first_event: bytes) -> Request:
    return scripts.ANNOUNCE.call(
        (keys.calls, keys.call, keys.events), keys.call_id, edge_id, first_event, TTL_S
    )


def append_event(keys: CallKeys, sequence: int, event: bytes) -> Request:
    """Answers the entry's id, or None when the call has ended and its keys are gone: a late event
    must not create a stream that nobody would delete."""
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


class ClaimRefusal(StrEnum):
    GONE = "GONE"  # the call has ended
    TAKEN = "TAKEN"  # another worker owns it


class Commit(NamedTuple):
    """One step of a call, see `lua/commit.lua`. `state` is None when it has not changed."""

    number: int
    cursor: int
    partial: int
    state: bytes | None
    commands: Sequence[bytes]


class CommitAnswer(StrEnum):
    COMMITTED = "COMMITTED"
    ALREADY = "ALREADY"
    FENCED = "FENCED"
    CONFLICT = "CONFLICT"
    GONE = "GONE"


def create_group(lane: Lane) -> Request:
    """From entry 0, never `$`: calls may have been announced before the first worker came.
    Answers a BUSYGROUP error when the group exists."""
    return (b"XGROUP", b"CREATE", lane.calls, GROUP, b"0", b"MKSTREAM")


def leave_group(lane: Lane, consumer: str) -> Request:
    return (b"XGROUP", b"DELCONSUMER", lane.calls, GROUP, consumer)


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


def read_answer(reply: Any) -> CommitAnswer:
    """Raises ReplyError when Redis refused the request."""
    if isinstance(reply, ReplyError):
        raise reply
    return CommitAnswer(reply.decode())


def read_taken(reply: Any) -> list[Taken]:
    return [
        Taken(entry_id, fields[1].decode())
        for _, entries in reply or ()
        for entry_id, fields in entries
        if fields
    ]


def discard(lane: Lane, entry_id: bytes) -> list[Request]:
    """Drop a dispatch entry whose call has ended."""
    return [(b"XACK", lane.calls, GROUP, entry_id), (b"XDEL", lane.calls, entry_id)]


def claim(keys: CallKeys, token: str) -> Request:
    return scripts.CLAIM.call((keys.call,), token)


def read_claim(reply: Any) -> Claim | ClaimRefusal:
    """Raises ReplyError when Redis refused the request."""
    if isinstance(reply, list):
        return Claim(*reply)
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
    return scripts.FINISH.call((keys.calls, keys.call, keys.events, keys.commands), token, GROUP)
