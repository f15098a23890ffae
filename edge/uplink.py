"""Socket -> Redis: the event stream of one call, numbered here.

All calls of a lane share one writer, so the events of a tick leave in one write. Entry ids are
explicit, so an event that is written twice after a lost reply is stored once.

Rule 1: an event is never written before a lower one that the server may lack: its id would shut
        that one out for ever. To another server than before, nothing is written until it has said
        what it has.
Rule 2: a call that Redis has lost under our hands is announced again, as to another server; one
        that its worker has ended is not.
Rule 3: a call is kept here until Redis has acknowledged its last event. Redis may be away when the
        caller hangs up, and the worker must hear of it all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, NamedTuple

from common import bus, presence
from common import metrics as common_metrics
from common.errors import ReplyError, ServerChangedError
from common.events import CallEnded, Event
from common.keys import CallKeys
from common.wire import encode_event
from common.writer import Writer
from edge import metrics
from edge.ring import Ring

__all__ = ["CallEvents", "Fates", "Terms"]

_log = logging.getLogger(__name__)

_TRIM_EVERY = 64
#: A call whose keys vanish more often than `_MAX_LOSSES` times in `_LOSSES_S` cannot be kept.
_MAX_LOSSES = 5
_LOSSES_S = 60.0
#: How long a call whose keys have vanished waits for its owner. That one has no reason to be dead;
#: but where nothing happens, it looks after its calls every five seconds only.
_LIVING_OWNER_S = 8.0


class Terms(NamedTuple):
    """`ring_s`: for how long events are kept for a Redis that may lose them. `take_s`: how long a
    call waits for a worker. `owner_s`: how long it waits, announced to another server, for the one
    it had."""

    edge_id: str
    ring_s: float
    take_s: float
    owner_s: float


class Fates(NamedTuple):
    """What may happen to a call in Redis: `lost`, its worker has ended it, or its keys are unusable
    or vanish again and again; `not_taken`, no worker came in time, and its keys are gone;
    `vanished`, its keys are gone: `announce_again` is to follow; `done`, its end is stored, or it
    is lost or was not taken."""

    lost: Callable[[], None]
    not_taken: Callable[[], None]
    vanished: Callable[[], None]
    done: Callable[[], None]


class _State(Enum):
    LIVE = auto()
    RESYNCING = auto()  # another server: events wait until it has said which it has
    VANISHED = auto()  # the same, and it has lost the call: likewise
    DONE = auto()


class CallEvents:
    def __init__(self, writer: Writer, keys: CallKeys, terms: Terms, fates: Fates) -> None:
        self._writer = writer
        self.keys = keys
        self._terms = terms
        self._fates = fates
        self._ring = Ring(keep_s=terms.ring_s)
        self._state = _State.LIVE
        self._resyncing_since: float | None = None
        self._start = b""
        self._has_ended = False
        self._read_up_to = 0
        self._losses: deque[float] = deque(maxlen=_MAX_LOSSES)
        self._take_timer: asyncio.TimerHandle | None = None

    def announce(self, first: Event, *, at_ms: int) -> None:
        """Put the call on its lane, with its first event."""
        self._start = encode_event(first, at_ms=at_ms)
        self._ring.append(self._start, now=_now())
        self._writer.submit(bus.announce(self.keys, self._terms.edge_id, self._start), self._stored)
        self._wait_for_worker(self._terms.take_s)

    def append(self, event: Event, *, at_ms: int) -> None:
        if self._state is _State.DONE:
            return
        self._has_ended = isinstance(event, CallEnded)
        data = encode_event(event, at_ms=at_ms)
        sequence = self._ring.append(data, now=_now())
        if self._state is _State.LIVE:
            self._write(sequence, data)

    def commands_read(self, up_to: int) -> None:
        """The worker's commands were read up to this sequence; now and then they are deleted."""
        if up_to // _TRIM_EVERY != self._read_up_to // _TRIM_EVERY:
            self._writer.submit(bus.trim_commands(self.keys, up_to), self._refused)
        self._read_up_to = up_to

    def is_cut_off(self, for_s: float) -> bool:
        """Whether another server has for so long not said what it has of the call."""
        since = self._resyncing_since
        return since is not None and _now() - since > for_s

    # A Redis that has lost something.

    def verify(self) -> None:
        """Ask Redis whether it has the call."""
        if self._state is _State.LIVE:
            self._writer.submit(presence.how_many_exist([self.keys]), self._counted)

    def _counted(self, found: Any) -> None:
        if presence.is_any_lost(found, [self.keys]):
            self._vanished()

    def _vanished(self) -> None:
        if self._state is not _State.LIVE:
            return
        now = _now()
        losses = self._losses
        if len(losses) == losses.maxlen and now - losses[0] < _LOSSES_S:
            _log.error("Redis loses the call again and again", extra={"call": self.keys.call_id})
            self._end(self._fates.lost)
            return
        losses.append(now)
        metrics.CALLS_VANISHED.inc()
        self._hold(_State.VANISHED)
        self._fates.vanished()

    def hold(self) -> None:
        """Redis is another server: keep events here until `announce_again` has been answered."""
        if self._state is not _State.DONE:
            self._hold(_State.RESYNCING)

    def _hold(self, state: _State) -> None:
        self._state = state
        if self._resyncing_since is None:
            self._resyncing_since = _now()
        if self._take_timer is not None:  # Redis may not know just now who has taken it
            self._take_timer.cancel()

    @property
    def _is_held(self) -> bool:
        return self._state in (_State.RESYNCING, _State.VANISHED)

    @property
    def _owner_s(self) -> float:
        """How long it is to wait for the owner it had."""
        owner_s = self._terms.owner_s
        return max(owner_s, _LIVING_OWNER_S) if self._state is _State.VANISHED else owner_s

    def announce_again(self) -> None:
        if not self._is_held:
            return
        metrics.CALLS_REANNOUNCED.inc()
        request = bus.announce(
            self.keys,
            self._terms.edge_id,
            self._start,
            read_up_to=self._read_up_to,
            keep_ms=round(self._owner_s * 1000),
        )
        self._writer.submit(request, self._announced_again)

    def _announced_again(self, reply: Any) -> None:
        if isinstance(reply, ServerChangedError) or not self._is_held:
            return
        if bus.has_ended(reply) or self._refused(reply):
            self._end(None if self._has_ended else self._fates.lost)
            return
        self._wait_for_worker(self._owner_s + self._terms.take_s)
        self._state = _State.LIVE
        self._resyncing_since = None
        missing = self._ring.after(reply)
        for event in missing:
            self._write(event.sequence, event.data)
        metrics.EVENTS_REPLAYED.inc(len(missing))
        self._end_if_stored()

    # What Redis answers.

    def _write(self, sequence: int, data: bytes) -> None:
        self._writer.submit(bus.append_event(self.keys, sequence, data), self._stored)

    def _stored(self, reply: Any) -> None:
        if isinstance(reply, ServerChangedError) or self._state is not _State.LIVE:
            return
        if reply is None:
            self._vanished()
            return
        if not bus.is_already_stored(reply) and self._refused(reply):
            self._end(self._fates.lost)
            return
        self._ring.acknowledge()
        self._end_if_stored()

    def _end_if_stored(self) -> None:
        if self._has_ended and self._ring.is_stored:
            self._end()

    def _end(self, fate: Callable[[], None] | None = None) -> None:
        self._state = _State.DONE
        self._resyncing_since = None
        self._ring = Ring(keep_s=0.0)
        self._fates.done()
        if fate is not None:
            fate()

    def _refused(self, reply: Any) -> bool:
        if isinstance(reply, ReplyError):
            common_metrics.REDIS_FAULTS.labels("write").inc()
            _log.error("Redis refused a write: %s", reply, extra={"call": self.keys.call_id})
            return True
        return False

    # Nobody comes.

    def _wait_for_worker(self, for_s: float) -> None:
        if self._take_timer is not None:
            self._take_timer.cancel()
        self._take_timer = asyncio.get_running_loop().call_later(for_s, self._withdraw)

    def _withdraw(self) -> None:
        """Take the call back, if no worker has ever claimed it."""
        self._writer.submit(bus.withdraw(self.keys), self._withdrawn)

    def _withdrawn(self, reply: Any) -> None:
        if isinstance(reply, ServerChangedError):
            if self._state is _State.DONE:  # or else it will be announced again, and then asked
                self._withdraw()
        elif reply == b"WITHDRAWN" and self._state is not _State.DONE:
            if self._is_held:  # it may have been announced again behind our question
                self._withdraw()
            self._end(self._fates.not_taken)


def _now() -> float:
    return asyncio.get_running_loop().time()
