"""Whatever an edge and three workers may do to a lane, in any order, each step checked against the
model; and what may become of Redis meanwhile: it comes back empty, or as it was a while ago.

Rule 1: workers behave: one that was told that a call is not its own leaves it alone; one that does
        not know whether a commit was applied repeats that very commit.
Rule 2: workers may be wrong about what they own, for as long as nobody tells them.
Rule 3: a call's id is never used again, as little as a token.
Rule 4: every command is told apart from every other, so that none is heard twice unnoticed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from common import bus, membership
from common.bus import Claim, Commit, CommitAnswer, RestoreAnswer, Restored
from common.keys import lanes
from tests.common.lane_model import EDGE, FIRST, LaneModel, worker_of
from tests.common.lane_probe import Dump, LaneProbe

__all__ = ["LANE", "LEASE_MS", "LaneSteps"]

LANE = lanes("model", 1)[0]
LEASE_MS = 600_000  # longer than any example takes
WORKERS = ("w1", "w2", "w3")

WORKER = st.sampled_from(WORKERS)
LINE = st.integers(0, 1)
#: Picks one of what there is; mostly the newest of those who hold a call, or believe it.
ANY = st.integers(0, 5)
NEWEST = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4])


class Holder(msgspec.Struct):
    """What a worker remembers of a call that it has claimed."""

    call_id: str
    token: str
    commit: int
    cursor: int
    partial: int
    state: bytes
    first: int  # sequence of the first command that it knows
    commands: list[bytes] = []
    unanswered: Commit | None = None

    @property
    def out(self) -> int:
        return self.first - 1 + len(self.commands)

    def next_step(self, cursor: int, partial: int, state: bytes | None, count: int) -> Commit:
        number = self.commit + 1
        commands = [f"{self.token}/{number}/{i}".encode() for i in range(count)]
        return Commit(number, cursor, partial, state, commands)

    def applied(self, step: Commit) -> None:
        self.commit, self.cursor, self.partial = step.number, step.cursor, step.partial
        self.state = self.state if step.state is None else step.state
        self.commands = [*self.commands, *step.commands]
        self.unanswered = None


class Line(msgspec.Struct):
    """A call as its edge knows it; after its end the next one."""

    call_id: str
    appended: int = 1
    heard: list[tuple[int, bytes]] = []

    @property
    def read_up_to(self) -> int:
        return self.heard[-1][0] if self.heard else 0


def has_holder(steps: LaneSteps) -> bool:
    return bool(steps.holders)


def may_end(steps: LaneSteps) -> bool:
    """Calls that end as soon as they begin hide what comes later; so not at every turn."""
    return steps.claims % 4 == 3


class LaneSteps(RuleBasedStateMachine):
    probe: LaneProbe
    answers: Counter[str]  # how often each was got, over all examples

    def __init__(self) -> None:
        super().__init__()
        self.probe.empty()
        self.model = LaneModel()
        self.lines = [Line("c1-0"), Line("c2-0")]
        self.holders: list[Holder] = []  # the newest first
        self.earlier: tuple[Dump, LaneModel] | None = None
        self.claims = 0
        self.has_lost = False

    def agree(self, verb: str, answer: Any, expected: Any) -> None:
        assert answer == expected, verb
        self.answers[f"{verb} {said(answer)}"] += 1

    @initialize()
    def begin(self) -> None:
        self.probe.ask(bus.create_group(LANE))
        self.model.has_group = True
        for worker in WORKERS:
            self.renew(worker)
        for line in range(len(self.lines)):
            self.announce(line, kept=False)

    # Edge.

    @rule(line=LINE, kept=st.booleans())
    def announce(self, line: int, kept: bool) -> None:
        call = self.lines[line]
        request = bus.announce(
            LANE.keys(call.call_id), EDGE, FIRST,
            read_up_to=call.read_up_to, keep_ms=LEASE_MS if kept else 0,
        )  # fmt: skip
        stored = self.model.announce(call.call_id, call.read_up_to, is_kept=kept)
        for _ in range(2):
            assert self.probe.ask(request) == stored

    @rule(line=LINE, ahead=st.sampled_from([1, 1, 1, 1, 2, 0, -1]))
    def append(self, line: int, ahead: int) -> None:
        """Numbers may be repeated, and left out where the edge has forgotten the event."""
        call, known = self.lines[line], self.model.calls.get(self.lines[line].call_id)
        sequence = max(1, call.appended + ahead)
        reply = self.probe.ask(bus.append_event(LANE.keys(call.call_id), sequence, b"event"))
        if known is None or not known.has_events:
            self.agree("append", reply, None)
        elif known.append(sequence):
            assert reply == b"%d-0" % sequence
        else:
            self.agree("append", bus.is_already_stored(reply), True)
        call.appended = max(call.appended, sequence)

    @precondition(lambda self: self.model.ended)
    @rule(which=ANY)
    def announce_though_it_has_ended(self, which: int) -> None:
        call_id = self.model.ended[which % len(self.model.ended)]
        answer = self.probe.ask(bus.announce(LANE.keys(call_id), EDGE, FIRST, keep_ms=LEASE_MS))
        self.agree("announce", answer, self.model.announce(call_id, 0, is_kept=True))
        assert bus.has_ended(answer)

    @rule(line=LINE, count=st.integers(1, 9), trims=st.booleans())
    def hear(self, line: int, count: int, trims: bool) -> None:
        call = self.lines[line]
        keys = LANE.keys(call.call_id)
        reply = self.probe.ask(
            (b"XREAD", b"COUNT", count, b"STREAMS", keys.commands, b"%d-0" % call.read_up_to)
        )
        for entry_id, fields in (reply or {}).get(keys.commands, ()):
            call.heard = [*call.heard, (int(entry_id.partition(b"-")[0]), fields[1])]
        if trims:
            self.probe.ask(bus.trim_commands(keys, call.read_up_to))
            if call.call_id in self.model.calls:
                self.model.calls[call.call_id].trim(call.read_up_to)

    @precondition(may_end)
    @rule(line=LINE)
    def withdraw(self, line: int) -> None:
        call_id = self.lines[line].call_id
        for _ in range(2):
            answer = self.probe.ask(bus.withdraw(LANE.keys(call_id)))
            self.agree("withdraw", answer, self.model.withdraw(call_id))
            self.next_call(call_id, is_over=answer == b"WITHDRAWN")

    # Leases.

    @rule(worker=WORKER)
    def renew(self, worker: str) -> None:
        look = membership.read_look(
            self.probe.ask(membership.renew_worker(LANE, worker, lease_ms=LEASE_MS))
        )
        self.agree("renew", sorted(look.dead_workers), sorted(self.model.renew(worker)))
        assert look.dead_edges == []
        too_far = look.now_ms + 10 * LEASE_MS
        assert self.probe.ask((b"ZCOUNT", LANE.workers, too_far, b"+inf")) == 0

    def is_known(self, worker: str) -> str:
        """A worker renews its lease before it does anything else."""
        if worker not in self.model.leases:
            self.renew(worker)
        return worker

    @rule(worker=WORKER, ends_in_ms=st.sampled_from([-1, -1, -1, 10**10]))
    def lease_ends(self, worker: str, ends_in_ms: int) -> None:
        """It has run out; or the clock was set back, and it would last for ages."""
        if worker in self.model.leases:
            self.probe.ask((b"ZADD", LANE.workers, self.probe.now_ms() + ends_in_ms, worker))
            self.model.leases[worker] = ends_in_ms > 0

    @rule(dead=WORKER, worker=WORKER, at_most=st.integers(1, 2))
    def adopt(self, dead: str, worker: str, at_most: int) -> None:
        reply = self.probe.ask(membership.adopt(LANE, dead, self.is_known(worker), at_most=at_most))
        adopted = [taken.call_id for taken in membership.read_adopted(reply)]
        self.agree("adopt", adopted, self.model.adopt(dead, worker, at_most))

    @rule(worker=WORKER)
    def leave(self, worker: str) -> None:
        for _ in range(2):
            left = self.probe.ask(membership.leave(LANE, worker))
            self.agree("leave", left, self.model.leave(worker))

    # Workers.

    @rule(worker=WORKER)
    def take(self, worker: str) -> None:
        """And die before it is claimed, or do so later."""
        self.take_calls(worker)

    def take_calls(self, worker: str) -> list[str]:
        reply = self.probe.ask_at_once(bus.take(LANE, self.is_known(worker), block_ms=1))
        expected = self.model.take(worker)
        if expected is None:
            assert bus.is_group_missing(reply)
            self.probe.ask(bus.create_group(LANE))
            self.model.has_group = True
            return []
        taken = [call.call_id for call in bus.read_taken((reply or {}).items())]
        self.agree("take", taken, expected)
        return taken

    @rule(worker=WORKER, which=ANY, suspects=st.booleans())
    def claim(self, worker: str, which: int, suspects: bool) -> None:
        known = sorted({line.call_id for line in self.lines} | set(self.model.calls))
        self.claim_call(worker, known[which % len(known)], suspects=suspects)

    def claim_call(self, worker: str, call_id: str, *, suspects: bool) -> None:
        self.claims += 1
        token = f"{self.is_known(worker)}:{self.claims}"
        request = bus.claim(LANE.keys(call_id), token, suspects=suspects)
        for _ in range(2):
            answer = bus.read_claim(self.probe.ask(request))
            self.agree("claim", answer, self.model.claim(call_id, token, suspects=suspects))
        if isinstance(answer, Claim):
            self.will_be_heard(call_id, answer)
            facts = (answer.commit, answer.cursor, answer.partial, answer.state, answer.out + 1)
            self.holders.insert(0, Holder(call_id, token, *facts))

    def will_be_heard(self, call_id: str, claim: Claim) -> None:
        """What a new owner says, the edge does not take for what it has heard already, unless it
        was waited for in vain."""
        heard = [line.read_up_to for line in self.lines if line.call_id == call_id]
        if self.model.calls[call_id].is_announced_here:
            assert all(claim.out >= read_up_to for read_up_to in heard)

    @precondition(has_holder)
    @rule(which=NEWEST, worker=WORKER, suspects=st.booleans())
    def die(self, which: int, worker: str, suspects: bool) -> None:
        """The owner's worker, and another sees to what it leaves behind."""
        holder = self.holder(which)
        self.lease_ends(worker_of(holder.token), -1)
        self.adopt(worker_of(holder.token), worker, 2)
        self.claim_call(worker, holder.call_id, suspects=suspects)

    def holder(self, which: int) -> Holder:
        return self.holders[which % len(self.holders)]

    @precondition(has_holder)
    @rule(
        which=NEWEST,
        handled=st.integers(0, 3),
        partial=st.integers(0, 2),
        state=st.none() | st.binary(max_size=3),
        count=st.integers(0, 3),
        is_answer_lost=st.sampled_from([False, False, False, True]),
    )
    def commit(
        self,
        which: int,
        handled: int,
        partial: int,
        state: bytes | None,
        count: int,
        is_answer_lost: bool,
    ) -> None:
        holder = self.holder(which)
        cursor = holder.cursor + handled
        step = holder.unanswered or holder.next_step(cursor, partial, state, count)
        answer = self.send(holder, step)
        if answer is CommitAnswer.CONFLICT:
            assert self.has_lost
        elif is_answer_lost:
            holder.unanswered = step
        elif answer in (CommitAnswer.FENCED, CommitAnswer.GONE):
            self.holders.remove(holder)
        else:
            assert answer is CommitAnswer.COMMITTED or holder.unanswered
            holder.applied(step)
            assert holder.out == self.model.calls[holder.call_id].out

    @rule(worker=WORKER, times=st.integers(1, 4))
    def go_on(self, worker: str, times: int) -> None:
        """What workers do most of the time: take a call, and see to those they have."""
        for call_id in self.take_calls(worker):
            self.claim_call(worker, call_id, suspects=False)
        mine = [holder for holder in self.holders if worker_of(holder.token) == worker]
        for holder in mine:
            for _ in range(times):
                if holder in self.holders:
                    state = b"%d" % holder.commit
                    self.commit(self.holders.index(holder), 1, 0, state, 1, is_answer_lost=False)

    @precondition(has_holder)
    @rule(which=NEWEST, skipped=st.sampled_from([-2, -1, 1, 2]))
    def commit_out_of_turn(self, which: int, skipped: int) -> None:
        holder = self.holder(which)
        known = self.model.calls.get(holder.call_id)
        step = holder.next_step(holder.cursor, 0, b"never", 1)
        step = step._replace(number=step.number + skipped)
        if known is None or known.token != holder.token or known.commit != step.number - 1:
            assert self.send(holder, step) is not CommitAnswer.COMMITTED

    @precondition(has_holder)
    @rule(which=NEWEST, count=st.integers(20, 40))
    def commit_often(self, which: int, count: int) -> None:
        """Housekeeping is done once in a while only; so let a while pass."""
        holder = self.holder(which)
        known = self.model.calls.get(holder.call_id)
        if known is None or known.token != holder.token:
            return
        if holder.unanswered or known.commit != holder.commit:
            return
        steps = []
        for _ in range(count):
            steps.append(holder.next_step(holder.cursor, 0, None, 0))
            holder.applied(steps[-1])
        keys = LANE.keys(holder.call_id)
        replies = self.probe.ask_all([bus.commit(keys, holder.token, step) for step in steps])
        assert replies == [b"COMMITTED"] * count
        for step in steps:
            self.model.commit(holder.call_id, holder.token, step)

    def send(self, holder: Holder, step: Commit) -> CommitAnswer:
        request = bus.commit(LANE.keys(holder.call_id), holder.token, step)
        answer = bus.read_commit(self.probe.ask(request))
        self.agree("commit", answer, self.model.commit(holder.call_id, holder.token, step))
        return answer

    @precondition(has_holder)
    @rule(which=NEWEST)
    def release(self, which: int) -> None:
        holder = self.holder(which)
        self.holders.remove(holder)
        for _ in range(2):
            answer = self.probe.ask(bus.release(LANE.keys(holder.call_id), holder.token))
            self.agree("release", answer, self.model.release(holder.call_id, holder.token))

    @precondition(has_holder)
    @precondition(may_end)
    @rule(which=NEWEST)
    def finish(self, which: int) -> None:
        holder = self.holder(which)
        self.holders.remove(holder)
        for _ in range(2):
            answer = self.probe.ask(bus.finish(LANE.keys(holder.call_id), holder.token))
            self.agree("finish", answer, self.model.finish(holder.call_id, holder.token))
            self.next_call(holder.call_id, is_over=answer != b"FENCED")

    @precondition(has_holder)
    @rule(which=NEWEST, forgotten=st.sampled_from([0, 0, 0, 1, 5]))
    def restore(self, which: int, forgotten: int) -> None:
        holder = self.holder(which)
        commands = holder.commands[forgotten:]
        known = Restored(
            holder.commit, holder.cursor, holder.partial, holder.state,
            holder.out - len(commands) + 1, commands,
        )  # fmt: skip
        request = bus.restore(LANE.keys(holder.call_id), holder.token, known, lease_ms=LEASE_MS)
        for _ in range(2):
            answer = bus.read_restore(self.probe.ask(request))
            expected = self.model.restore(holder.call_id, holder.token, known)
            self.agree("restore", answer, expected)
        if answer is RestoreAnswer.FENCED:
            self.holders.remove(holder)

    def next_call(self, call_id: str, *, is_over: bool) -> None:
        """Its edge has a new call once one is over."""
        for number, line in enumerate(self.lines):
            if is_over and line.call_id == call_id:
                name, _, count = call_id.partition("-")
                self.lines[number] = Line(f"{name}-{int(count) + 1}")
                self.announce(number, kept=False)


def said(answer: Any) -> str:
    """The word that an answer is; of others, whether there is anything in it."""
    if isinstance(answer, bytes):
        return answer.decode()
    if isinstance(answer, str):
        return str(answer)
    return "nothing" if not answer else "something"
