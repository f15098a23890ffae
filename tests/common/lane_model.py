"""What Redis should hold of a lane, and what each verb should answer: a model in Python.

Rule 1: the model says what the head of each script promises, not how the script does it.
Rule 2: a verb answers in the words of `common.bus`; one that is refused changes nothing, but that
        a claim begins to wait for the edge.
Rule 3: an entry of dispatch has a `holder` once the group has handed it to somebody; or before,
        when its call was restored.
Rule 4: time is a flag: a lease has run out or not, a call is kept or no longer.
"""

from __future__ import annotations

import copy

import msgspec

from common.bus import Claim, ClaimRefusal, Commit, CommitAnswer, RestoreAnswer, Restored

__all__ = ["EDGE", "FIRST", "Call", "Entry", "LaneModel", "worker_of"]

FIRST = b"first"
EDGE = "edge-1"


class Entry(msgspec.Struct):
    call_id: str
    holder: str | None = None
    was_handed_out: bool = False


class Call(msgspec.Struct):
    token: str = ""
    claims: int = 0
    commit: int = 0
    cursor: int = 0
    partial: int = 0
    out: int = 0
    read: int = 0
    state: bytes = b""
    is_kept: bool = False
    is_announced_here: bool = True  # to this server, and not only to one before it
    edge_is_awaited: bool | None = None  # by claims; None: not yet, False: no longer
    has_events: bool = True
    deaths: int = 0
    died_at: int | None = None
    events: list[int] = msgspec.field(default_factory=lambda: [1])
    appended: int = 1
    commands: list[tuple[int, bytes]] = []
    jumps: set[int] = set()  # where numbers were left out, because nobody knew what they stood for

    def append(self, sequence: int) -> bool:
        """Whether it is new."""
        assert self.has_events
        if sequence <= self.appended:
            return False
        self.appended = sequence
        self.events.append(sequence)
        return True

    def trim(self, read_up_to: int) -> None:
        self.commands = [(n, data) for n, data in self.commands if n > read_up_to]


class LaneModel(msgspec.Struct):
    calls: dict[str, Call] = {}
    dispatch: list[Entry] = []
    leases: dict[str, bool] = {}  # worker -> whether it lives
    has_group: bool = False
    ended: list[str] = []

    def lives(self, worker: str) -> bool:
        return self.leases.get(worker, False)

    def held_by(self, worker: str) -> list[Entry]:
        return [entry for entry in self.dispatch if entry.holder == worker]

    # Edge.

    def announce(self, call_id: str, read_up_to: int, *, is_kept: bool) -> int | bytes:
        if call_id in self.ended:
            return b"ENDED"
        call = self.calls.get(call_id)
        if call is None:
            self.calls[call_id] = Call(out=read_up_to, read=read_up_to, is_kept=is_kept)
            self.dispatch.append(Entry(call_id))
            return 1
        call.read = max(call.read, read_up_to)
        call.is_announced_here = True
        if not call.has_events:
            call.events, call.appended, call.has_events = [1], 1, True
        return call.appended

    def withdraw(self, call_id: str) -> bytes:
        call = self.calls.get(call_id)
        if call is None:
            return b"GONE"
        if call.claims:
            return b"TAKEN"
        self._end(call_id)
        return b"WITHDRAWN"

    # Worker.

    def take(self, worker: str) -> list[str] | None:
        """None where the group is missing."""
        if not self.has_group:
            return None
        for entry in self.dispatch:
            if not entry.was_handed_out:
                entry.holder, entry.was_handed_out = worker, True
                return [entry.call_id]
        return []

    def claim(self, call_id: str, token: str, *, suspects: bool) -> Claim | ClaimRefusal:
        call = self.calls.get(call_id)
        if call is None:
            return ClaimRefusal.GONE
        if call.token != token:
            refusal = self._refusal(call_id, call, worker_of(token), suspects=suspects)
            if refusal is not None:
                return refusal
            if not call.is_announced_here and call.edge_is_awaited is not False:
                call.edge_is_awaited = True
                return ClaimRefusal.KEPT
            if call.token:
                call.deaths = 1 + deaths_here(call)
                call.died_at = call.cursor
            if call.read > call.out:
                call.out = call.read
                call.jumps.add(call.out + 1)
            call.token, call.is_kept = token, False
            call.claims += 1
        return Claim(
            call.commit, call.cursor, call.partial, call.out, call.state, FIRST, EDGE,
            deaths_here(call),
        )  # fmt: skip

    def _refusal(
        self, call_id: str, call: Call, asking: str, *, suspects: bool
    ) -> ClaimRefusal | None:
        if not call.token:
            return ClaimRefusal.KEPT if call.is_kept else None
        owner = worker_of(call.token)
        if owner == asking or self.lives(owner):
            self._give_entry(call_id, owner)
            return ClaimRefusal.TAKEN
        return ClaimRefusal.SUSPECT if deaths_here(call) and not suspects else None

    def commit(self, call_id: str, token: str, step: Commit) -> CommitAnswer:
        call = self.calls.get(call_id)
        if call is None:
            return CommitAnswer.GONE
        if call.token != token:
            return CommitAnswer.FENCED
        if call.commit == step.number:
            return CommitAnswer.ALREADY
        if call.commit != step.number - 1:
            return CommitAnswer.CONFLICT
        call.commands += enumerate(step.commands, call.out + 1)
        call.out += len(step.commands)
        call.commit, call.cursor, call.partial = step.number, step.cursor, step.partial
        call.state = call.state if step.state is None else step.state
        if step.number % 32 == 1:
            call.events = [n for n in call.events if n > step.cursor]
        return CommitAnswer.COMMITTED

    def restore(self, call_id: str, token: str, known: Restored) -> RestoreAnswer:
        call = self.calls.get(call_id)
        if call is None:
            return RestoreAnswer.FENCED if call_id in self.ended else RestoreAnswer.GONE
        if call.token == token and call.commit >= known.number:
            return RestoreAnswer.INTACT
        if call.token != token and (call.token or call.commit > known.number):
            return RestoreAnswer.FENCED
        if known.first > call.out + 1:
            call.jumps.add(known.first)
        numbered = enumerate(known.commands, known.first)
        call.commands += [(n, data) for n, data in numbered if n > call.out]
        call.out = known.first - 1 + len(known.commands)
        call.commit, call.cursor, call.partial = known.number, known.cursor, known.partial
        call.state, call.is_kept = known.state, False
        call.claims += not call.token
        call.token = token
        self.leases[worker_of(token)] = self.has_group = True
        self._give_entry(call_id, worker_of(token), is_forced=True)
        return RestoreAnswer.RESTORED

    def release(self, call_id: str, token: str) -> bytes:
        call = self.calls.get(call_id)
        if call is None:
            return b"GONE"
        if not call.token:
            return b"ALREADY"
        if call.token != token:
            return b"FENCED"
        call.token = ""
        self.dispatch = [entry for entry in self.dispatch if entry.call_id != call_id]
        self.dispatch.append(Entry(call_id))
        return b"RELEASED"

    def finish(self, call_id: str, token: str) -> bytes:
        call = self.calls.get(call_id)
        if call is not None and call.token != token:
            return b"FENCED"
        if call_id not in self.ended:
            self.ended.append(call_id)
        if call is None:
            return b"GONE"
        self._end(call_id)
        return b"FINISHED"

    # What becomes of Redis.

    def elsewhere(self) -> LaneModel:
        """The same, as another server has it."""
        model = copy.deepcopy(self)
        for call in model.calls.values():
            call.is_announced_here, call.edge_is_awaited = False, None
        return model

    # Membership.

    def renew(self, worker: str) -> list[str]:
        """Who is dead."""
        self.leases[worker] = True
        return [name for name, lives in self.leases.items() if not lives]

    def adopt(self, dead: str, worker: str, at_most: int) -> list[str]:
        if self.lives(dead):
            return []
        entries = self.held_by(dead)[:at_most]
        if not entries:
            self.leases.pop(dead, None)
        for entry in entries:
            entry.holder = worker
        return [entry.call_id for entry in entries]

    def leave(self, worker: str) -> int:
        left = len(self.held_by(worker))
        if left:
            self.leases[worker] = False
        else:
            self.leases.pop(worker, None)
        return left

    def _give_entry(self, call_id: str, worker: str, *, is_forced: bool = False) -> None:
        for entry in self.dispatch:
            if entry.call_id == call_id and (is_forced or entry.holder is not None):
                entry.holder = worker

    def _end(self, call_id: str) -> None:
        del self.calls[call_id]
        self.dispatch = [entry for entry in self.dispatch if entry.call_id != call_id]


def worker_of(token: str) -> str:
    return token.rpartition(":")[0]


def deaths_here(call: Call) -> int:
    return call.deaths if call.died_at == call.cursor else 0
