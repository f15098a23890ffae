"""Dispatch entries that this worker has -> calls that it owns.

Rule 1: a call is ours when its claim is answered, not when its entry is.
Rule 2: a claim that has to wait is asked again; its entry stays with us meanwhile.
Rule 3: a call that is ours already, and does not run, is one whose end Redis has lost.
Rule 4: suspects, calls whose last owners died at one and the same event, are claimed one at a time,
        each when the one before has got past its beginning. So a call that kills its worker takes
        no other's blame.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from common import bus
from common.bus import Claim, ClaimRefusal, Taken
from common.errors import ReplyError
from common.keys import CallKeys, Lane
from common.writer import Writer
from workers import metrics
from workers.ownership.capacity import Capacity

__all__ = ["Claims"]

_log = logging.getLogger(__name__)

#: When to ask again for a call that is kept for its owner.
_KEPT_RETRY_S = 0.1
#: How long a suspect may take to get past its beginning, before the next is tried all the same.
_PROBE_S = 1.0

OnClaimed = Callable[[CallKeys, str, Claim], None]


class Claims:
    """`on_claimed` gets every call that is now ours, with its token; the capacity that was taken
    for it is its to give back. `on_ours` gets the token of one that was ours before."""

    def __init__(
        self,
        lane: Lane,
        worker_id: str,
        writer: Writer,
        capacity: Capacity,
        on_claimed: OnClaimed,
        on_ours: Callable[[CallKeys, str], None],
    ) -> None:
        self._lane = lane
        self._worker_id = worker_id
        self._writer = writer
        self._capacity = capacity
        self._on_claimed = on_claimed
        self._on_ours = on_ours
        self._claims = 0
        self._pending: set[bytes] = set()
        self._suspects: deque[Taken] = deque()
        self._probed: str | None = None
        self._is_closed = False

    def claim_all(self, taken: Iterable[Taken]) -> None:
        """Entries that are being claimed already are passed over."""
        for call in taken:
            if call.entry_id not in self._pending:
                self._pending.add(call.entry_id)
                self._capacity.take()
                self._claim(call)

    def close(self) -> None:
        """Claim nothing more; entries that wait are left to the others."""
        self._is_closed = True

    def got_further(self, call_id: str) -> None:
        """A call is past its beginning, or over: the next suspect may be tried."""
        if call_id == self._probed:
            self._probed = None
            self._probe_next()

    def _claim(self, call: Taken, *, is_probe: bool = False) -> None:
        if self._is_closed:
            self._drop(call)
            return
        self._claims += 1
        token = f"{self._worker_id}:{self._claims}"
        keys = self._lane.keys(call.call_id)
        self._writer.submit(
            bus.claim(keys, token, suspects=is_probe), partial(self._answered, call, keys, token)
        )

    def _answered(self, call: Taken, keys: CallKeys, token: str, reply: Any) -> None:
        try:
            claim = bus.read_claim(reply)
        except ReplyError as error:
            _log.error("cannot claim: %s", error, extra={"call": call.call_id})
            claim = ClaimRefusal.GONE
        match claim:
            case Claim():
                self._pending.discard(call.entry_id)
                metrics.CALLS_TAKEN.inc()
                self._on_claimed(keys, token, claim)
                return
            case ClaimRefusal.KEPT:
                asyncio.get_running_loop().call_later(_KEPT_RETRY_S, self._claim, call)
                return
            case ClaimRefusal.SUSPECT:
                self._suspects.append(call)
                self._probe_next()
                return
            case ClaimRefusal.TAKEN:
                self._writer.submit(bus.owner_of(keys), partial(self._is_owned_by, keys))
            case ClaimRefusal.GONE:
                for request in bus.discard(self._lane, call.entry_id):
                    self._writer.submit(request, lambda reply: None)
        self._drop(call)
        self.got_further(call.call_id)

    def _is_owned_by(self, keys: CallKeys, owner: Any) -> None:
        if isinstance(owner, bytes):
            token = owner.decode()
            if token.rpartition(":")[0] == self._worker_id:
                self._on_ours(keys, token)

    def _drop(self, call: Taken) -> None:
        self._pending.discard(call.entry_id)
        self._capacity.give_back()

    def _probe_next(self) -> None:
        if self._probed is None and self._suspects:
            call = self._suspects.popleft()
            self._probed = call.call_id
            _log.warning("trying a call that may kill its worker", extra={"call": call.call_id})
            self._claim(call, is_probe=True)
            asyncio.get_running_loop().call_later(_PROBE_S, self.got_further, call.call_id)
