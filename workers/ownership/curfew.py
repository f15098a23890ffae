"""See to it that handlers end with their calls.

A handler may wait for what never comes, and only the agent knows what is worth waiting for; so
while the caller is there, it may. Once the call's end has arrived, it gets so long, and is then
cancelled; what had not been handled yet is passed over, but for the end. `on_stop` gets as long.

A handler that does not hear of its cancellation, for whatever reason, cannot be ended. It is left
behind: what it issues does not count, and its call and its room in the worker are given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from common import tail
from common.writer import Writer
from workers import metrics
from workers.ownership.owned_call import OwnedCall
from workers.ownership.reader import EventReader
from workers.running import whereabouts

__all__ = ["Curfew"]

_log = logging.getLogger(__name__)

#: Between two looks at all calls.
_LOOK_EVERY_S = 1.0
#: How long a handler that was cancelled may take to end.
_CANCELLED_S = 5.0


class _Sight(NamedTuple):
    """Whose turn it is, and since when that is to come to its end; None while it may go on."""

    turn: object
    is_cancelled: bool
    since: float | None


class Curfew:
    """`calls`: those that are run, each with its task; `on_deaf` gets one that does not end."""

    def __init__(
        self,
        calls: Mapping[OwnedCall, asyncio.Task[None]],
        writer: Writer,
        reader: EventReader,
        *,
        timeout_s: float,
        on_deaf: Callable[[OwnedCall], None],
    ) -> None:
        self._calls = calls
        self._writer = writer
        self._reader = reader
        self._timeout_s = timeout_s
        self._on_deaf = on_deaf
        self._seen: dict[OwnedCall, _Sight] = {}
        #: Counted in looks: what passes while this process stands still, is not a handler's time.
        self._now = 0.0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self._now += _LOOK_EVERY_S
            calls = list(self._calls.items())
            self._seen = {call: await self._look(call, task) for call, task in calls}

    async def _look(self, call: OwnedCall, task: asyncio.Task[None]) -> _Sight:
        now = self._now
        turn, is_cancelled = call.runner.turns.subject, call.runner.turns.is_cancelled
        seen = self._seen.get(call)
        if seen is None or seen.turn is not turn or seen.is_cancelled != is_cancelled:
            return _Sight(turn, is_cancelled, now if is_cancelled else None)
        if turn is None:
            return seen
        if seen.since is None:
            return seen._replace(since=now) if await self._is_ending(call) else seen
        if now - seen.since >= (_CANCELLED_S if is_cancelled else self._timeout_s):
            self._end(call, task)
        return seen

    async def _is_ending(self, call: OwnedCall) -> bool:
        if call.runner.is_ending:
            return True
        if not self._reader.is_lagging(call):
            return False
        # What its agent is too slow for is not read, be it the end.
        latest = tail.read_latest(await self._writer.ask(tail.latest(call.keys.events)))
        return latest is not None and call.runner.foresee(latest)

    def _end(self, call: OwnedCall, task: asyncio.Task[None]) -> None:
        extra = {"call": call.keys.call_id, **whereabouts.of_waiting(task)}
        if call.runner.turns.is_cancelled:
            metrics.HANDLERS_DEAF.inc()
            _log.error("handler goes on though it is cancelled: left behind", extra=extra)
            self._on_deaf(call)
        else:
            metrics.HANDLERS_CUT.inc()
            _log.error("handler is cancelled: it outlasts its call", extra=extra)
            call.runner.turns.cut_short()
