"""Call runners -> Redis: gathers what the handlers of one pass of the loop produced, and commits
it in one write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from common import bus
from common.bus import Commit
from common.errors import ReplyError
from common.writer import Writer
from workers.ownership.owned_call import OwnedCall

__all__ = ["Committer"]

_log = logging.getLogger(__name__)

#: When to look again at a call whose cursor alone has moved.
_LATER_S = 0.05


class Committer:
    """`on_committed` is called with a call that got further; `on_refused` with one that is another
    worker's, or of which Redis has forgotten something; `on_lost` with one whose commits Redis
    cannot carry out."""

    def __init__(
        self,
        writer: Writer,
        *,
        on_committed: Callable[[OwnedCall], None],
        on_refused: Callable[[OwnedCall], None],
        on_lost: Callable[[OwnedCall], None],
    ) -> None:
        self._writer = writer
        self._on_committed = on_committed
        self._on_refused = on_refused
        self._on_lost = on_lost
        self._progressed: set[OwnedCall] = set()
        self._refused: set[OwnedCall] = set()
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None

    def progressed(self, call: OwnedCall) -> None:
        """There may be something to commit; it goes out after all handlers of this pass."""
        self._progressed.add(call)
        self._collect_soon()

    def repeat(self, call: OwnedCall) -> None:
        """Redis knows again what it needs for the commit that it has refused. One that it has not
        answered yet, because something else told of the loss first, is not sent a second time."""
        step = call.runner.repeat() if call in self._refused else None
        self._refused.discard(call)
        if step is None:
            self.progressed(call)
        else:
            self._submit(call, step)

    def forget(self, call: OwnedCall) -> None:
        self._progressed.discard(call)
        self._refused.discard(call)

    def _collect_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._collect)

    def _collect(self) -> None:
        self._is_due = False
        loop = asyncio.get_running_loop()
        for call in list(self._progressed):
            step = call.runner.next_commit(now=loop.time())
            if step is not None:
                self._submit(call, step)
            if step is not None or call.runner.is_settled:
                self._progressed.discard(call)
        if self._progressed and self._timer is None:
            self._timer = loop.call_later(_LATER_S, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._collect_soon()

    def _submit(self, call: OwnedCall, step: Commit) -> None:
        request = bus.commit(call.keys, call.token, step)
        self._writer.submit(request, partial(self._answered, call))

    def _answered(self, call: OwnedCall, reply: Any) -> None:
        try:
            answer = bus.read_commit(reply)
        except ReplyError as error:
            _log.error("Redis refused a commit: %s", error, extra={"call": call.keys.call_id})
            self._on_lost(call)
            return
        if not call.runner.answered(answer):
            if call.runner.is_settled:
                return  # it is over, or handed over
            self._refused.add(call)
            self._on_refused(call)
            return
        self._on_committed(call)
        if not call.runner.is_settled:
            self.progressed(call)
