"""Redis -> sessions: the commands of all calls of a lane, read together.

It never waits for a session: queues and pacing are the stream's business, so a `clear` overtakes
queued audio and one slow call holds up no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from common.commands import Command
from common.errors import WireError
from common.follower import Follower
from common.keys import CallKeys
from common.link import Link
from common.tail import Entry
from common.wire import decode_command
from edge import metrics

__all__ = ["Downlink", "Subscriber"]

_log = logging.getLogger(__name__)

_ENTRIES_PER_POLL = 256


class Subscriber(NamedTuple):
    """A call's way to hear of its commands, none of which may raise.

    `deliver` gets the commands of a poll, in order, and `read_up_to` the sequence of the last one;
    `unreadable` is called when Redis refuses to read them: there will be no more.
    """

    deliver: Callable[[list[Command]], None]
    read_up_to: Callable[[int], None]
    unreadable: Callable[[], None]


class Downlink:
    def __init__(self, link: Link, *, tick_s: float) -> None:
        self._follower: Follower[Subscriber] = Follower(
            link,
            tick_s=tick_s,
            count=_ENTRIES_PER_POLL,
            on_entries=_deliver,
            on_unreadable=lambda subscriber: subscriber.unreadable(),
        )

    def subscribe(self, keys: CallKeys, subscriber: Subscriber) -> None:
        self._follower.follow(keys.commands, subscriber)

    def unsubscribe(self, keys: CallKeys) -> None:
        self._follower.forget(keys.commands)

    async def run(self) -> None:
        await self._follower.run()


def _deliver(subscriber: Subscriber, entries: list[Entry]) -> None:
    # What was read must never be heard again, so that is told first.
    subscriber.read_up_to(entries[-1].sequence)
    subscriber.deliver(_commands(entries))


def _commands(entries: list[Entry]) -> list[Command]:
    commands = []
    for entry in entries:
        try:
            commands.append(decode_command(entry.data))
        except WireError as error:
            metrics.COMMANDS_UNREADABLE.inc()
            _log.error("%s", error, extra={"sequence": entry.sequence})
    return commands
