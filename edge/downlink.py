"""Redis -> sessions: one reader a lane polls the command streams of all its calls in one XREAD.

It reads eagerly and never waits for a session: queues and pacing are the stream's business, so a
`clear` overtakes queued audio and one slow call holds up no other. While no call is on, it rests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from common import metrics as common_metrics
from common.commands import Command
from common.errors import LinkError, ReplyError, WireError
from common.keys import CallKeys
from common.link import Link
from common.tail import Entry, Tail
from common.ticker import Ticker, Wakeup
from common.wire import decode_command
from edge import metrics

__all__ = ["Downlink", "Subscriber"]

_log = logging.getLogger(__name__)

_ENTRIES_PER_POLL = 256
_TRIM_EVERY = 64
_RETRY_S = 0.05


class Subscriber(NamedTuple):
    """`deliver` gets the commands of a poll, in order; `read_up_to` what may be trimmed."""

    deliver: Callable[[list[Command]], None]
    read_up_to: Callable[[int], None]


class Downlink:
    def __init__(self, link: Link, *, tick_s: float) -> None:
        self._link = link
        self._ticker = Ticker(tick_s)
        self._wakeup = Wakeup()
        self._tail: Tail[Subscriber] = Tail(count=_ENTRIES_PER_POLL)

    def subscribe(self, keys: CallKeys, subscriber: Subscriber) -> None:
        self._tail.follow(keys.commands, subscriber)
        self._wakeup.set()

    def unsubscribe(self, keys: CallKeys) -> None:
        self._tail.forget(keys.commands)

    async def run(self) -> None:
        while True:
            if not self._tail:
                await self._wakeup.wait()
                continue
            await self._poll()
            await self._ticker.tick()

    async def _poll(self) -> None:
        try:
            (reply,) = await self._link.execute([self._tail.request()])
        except LinkError:
            # The lane's writer says so in the log; here polling again is the retry.
            common_metrics.REDIS_FAULTS.labels("read").inc()
            await asyncio.sleep(_RETRY_S)
            return
        if isinstance(reply, ReplyError):
            common_metrics.REDIS_FAULTS.labels("read").inc()
            _log.error("Redis refused a read: %s", reply)
            return
        for subscriber, entries in self._tail.read(reply):
            subscriber.deliver(_commands(entries))
            last = entries[-1].sequence
            if last // _TRIM_EVERY != (entries[0].sequence - 1) // _TRIM_EVERY:
                subscriber.read_up_to(last)


def _commands(entries: list[Entry]) -> list[Command]:
    commands = []
    for entry in entries:
        try:
            commands.append(decode_command(entry.data))
        except WireError as error:
            metrics.COMMANDS_UNREADABLE.inc()
            _log.error("%s", error, extra={"sequence": entry.sequence})
    return commands
