"""Give Redis back what it lost of the calls that we own.

A commit that is refused says that the call is another worker's, or that Redis has forgotten: all,
and then the edge announces the call again, or its last steps, in a failover. The answer to a
restore (`lua/restore.lua`) says which it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from common import bus
from common.bus import RestoreAnswer
from common.errors import ReplyError
from common.writer import Writer
from workers import metrics
from workers.ownership.owned_call import OwnedCall

__all__ = ["Restoration"]

_log = logging.getLogger(__name__)

_RETRY_S = 0.1
#: How long an edge may take to announce a call again.
_PATIENCE_S = 5.0


class Restoration:
    """`on_restored` gets a call of which Redis knows everything again, `on_lost` one that is not
    ours any more, `on_gone` one that no edge announces again."""

    def __init__(
        self,
        writer: Writer,
        *,
        lease_ms: int,
        on_restored: Callable[[OwnedCall], None],
        on_lost: Callable[[OwnedCall], None],
        on_gone: Callable[[OwnedCall], None],
    ) -> None:
        self._writer = writer
        self._lease_ms = lease_ms
        self._on_restored = on_restored
        self._on_lost = on_lost
        self._on_gone = on_gone
        #: Until when an answer is waited for.
        self._asked: dict[OwnedCall, float] = {}
        #: The commit after which nothing was found missing.
        self._intact: dict[OwnedCall, int] = {}

    def begin(self, call: OwnedCall) -> None:
        if call not in self._asked:
            self._asked[call] = asyncio.get_running_loop().time() + _PATIENCE_S
            self._ask(call)

    def forget(self, call: OwnedCall) -> None:
        self._asked.pop(call, None)
        self._intact.pop(call, None)

    def _ask(self, call: OwnedCall) -> None:
        if call in self._asked:
            known = call.runner.remembered()
            request = bus.restore(call.keys, call.token, known, lease_ms=self._lease_ms)
            self._writer.submit(request, partial(self._answered, call, known.number))

    def _answered(self, call: OwnedCall, number: int, reply: Any) -> None:
        if call not in self._asked:
            return  # it has ended meanwhile
        try:
            answer = bus.read_restore(reply)
        except ReplyError as error:
            _log.error("Redis refused a restore: %s", error, extra={"call": call.keys.call_id})
            answer = RestoreAnswer.FENCED
        loop = asyncio.get_running_loop()
        if answer is RestoreAnswer.GONE and loop.time() < self._asked[call]:
            loop.call_later(_RETRY_S, self._ask, call)
            return
        if answer is RestoreAnswer.INTACT and self._intact.get(call) == number:
            # Nothing is missing, and yet the next commit was refused twice: a fault of ours.
            _log.error("a call's commits are out of step", extra={"call": call.keys.call_id})
            answer = RestoreAnswer.FENCED
        self.forget(call)
        match answer:
            case RestoreAnswer.RESTORED:
                metrics.RESTORES.inc()
                self._on_restored(call)
            case RestoreAnswer.INTACT:
                self._intact[call] = number
                self._on_restored(call)
            case RestoreAnswer.GONE:
                self._on_gone(call)
            case _:
                self._on_lost(call)
