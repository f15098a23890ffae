"""Socket -> Redis: the event stream of one call, numbered here.

All calls of a lane share one writer, so the events of a tick leave in one write. Entry ids are
explicit, so an event that is written twice after a lost reply is stored once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from common import bus, metrics
from common.errors import ReplyError
from common.events import Event
from common.keys import CallKeys
from common.wire import encode_event
from common.writer import Writer

__all__ = ["CallEvents"]

_log = logging.getLogger(__name__)

_TRIM_EVERY = 64


class CallEvents:
    """`on_gone` is called when the call's keys have vanished from Redis."""

    def __init__(self, writer: Writer, keys: CallKeys, *, on_gone: Callable[[], None]) -> None:
        self._writer = writer
        self._keys = keys
        self._on_gone = on_gone
        self._sequence = 0
        self._read_up_to = 0

    def announce(self, edge_id: str, first: Event, *, at_ms: int) -> None:
        """Put the call on its lane, with its first event."""
        self._sequence = 1
        event = encode_event(first, at_ms=at_ms)
        self._writer.submit(bus.announce(self._keys, edge_id, event), self._stored)

    def append(self, event: Event, *, at_ms: int) -> None:
        self._sequence += 1
        request = bus.append_event(self._keys, self._sequence, encode_event(event, at_ms=at_ms))
        self._writer.submit(request, self._stored)

    def withdraw(self, on_answer: Callable[[bool], None]) -> None:
        """Take the call back if no worker has claimed it; says whether that was so."""
        self._writer.submit(
            bus.withdraw(self._keys), lambda reply: on_answer(reply == b"WITHDRAWN")
        )

    def commands_read(self, up_to: int) -> None:
        """The worker's commands were read up to this sequence; now and then they are deleted."""
        if up_to // _TRIM_EVERY != self._read_up_to // _TRIM_EVERY:
            self._writer.submit(bus.trim_commands(self._keys, up_to), self._refused)
        self._read_up_to = up_to

    def _stored(self, reply: Any) -> None:
        if bus.is_already_stored(reply):
            return
        if reply is None or self._refused(reply):
            self._on_gone()

    def _refused(self, reply: Any) -> bool:
        if isinstance(reply, ReplyError):
            metrics.REDIS_FAULTS.labels("write").inc()
            _log.error("Redis refused a write: %s", reply, extra={"call": self._keys.call_id})
            return True
        return False
