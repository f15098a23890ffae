"""The scripts together: any order of steps, by any number of workers, against a model in Python.

What one script answers stands in `test_bus.py` and `test_membership.py`. Here two calls, three
workers and an edge go on with a real Redis (`lane_steps.py`), and after every step Redis must hold
exactly what the model says (`lane_model.py`), so a step that was refused has changed nothing.

`TRUNKLINE_MODEL_EXAMPLES` says how many examples, of 50 steps each, are tried.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections import Counter
from itertools import pairwise

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from common.bus import ClaimRefusal, CommitAnswer, RestoreAnswer
from common.keys import TTL_S
from common.scripts import SCRIPTS
from tests.common.lane_model import EDGE, FIRST, Call, LaneModel
from tests.common.lane_probe import LaneProbe, Seen
from tests.common.lane_steps import LANE, LaneSteps

EXAMPLES = int(os.environ.get("TRUNKLINE_MODEL_EXAMPLES", "100"))

#: What only trouble brings about; a long run that has not seen all of it is no test.
FAULTS_TO_BE_SEEN = {
    "adopt something",
    *(f"claim {answer}" for answer in ClaimRefusal),
    *(f"commit {answer}" for answer in CommitAnswer),
    *(f"restore {answer}" for answer in RestoreAnswer),
}


def test_script_is_called_by_the_hash_that_redis_gives_it() -> None:
    for sha, script in SCRIPTS.items():
        assert sha == hashlib.sha1(script.source).hexdigest().encode()
        assert script.call((b"k",), "a", 1) == (b"EVALSHA", sha, 1, b"k", "a", 1)


class Troubles(LaneSteps):
    """What may become of Redis meanwhile."""

    @rule(line=st.integers(0, 1))
    def no_longer_kept(self, line: int) -> None:
        call_id = self.lines[line].call_id
        if call_id in self.model.calls:
            self.probe.ask((b"HSET", LANE.keys(call_id).call, b"kept_until", 1))
            self.model.calls[call_id].is_kept = False

    @rule(line=st.integers(0, 1))
    def edge_is_awaited_no_longer(self, line: int) -> None:
        call = self.model.calls.get(self.lines[line].call_id)
        if call is not None and call.edge_is_awaited:
            over = self.probe.server() + b" 1"
            self.probe.ask((b"HSET", LANE.keys(self.lines[line].call_id).call, b"awaited", over))
            call.edge_is_awaited = False

    @rule(line=st.integers(0, 1))
    def events_vanish(self, line: int) -> None:
        call_id = self.lines[line].call_id
        if call_id in self.model.calls:
            self.probe.ask((b"DEL", LANE.keys(call_id).events))
            self.model.calls[call_id].has_events, self.model.calls[call_id].events = False, []
            self.has_lost = True

    @precondition(lambda self: any(holder.commit > 1 for holder in self.holders))
    @rule(comes_back=st.sampled_from(["announced", "restored", "bare"]))
    def comes_back_empty(self, comes_back: str) -> None:
        self.probe.empty()
        self.model, self.earlier, self.has_lost = LaneModel(), None, True
        self.see_to(comes_back)

    @rule()
    def will_fail_over(self) -> None:
        """From here on nothing reaches the replica."""
        self.earlier = self.probe.dump(), copy.deepcopy(self.model)

    @precondition(lambda self: self.earlier is not None)
    @rule(comes_back=st.sampled_from(["announced", "restored", "bare"]))
    def fails_over(self, comes_back: str) -> None:
        assert self.earlier is not None
        dump, model = self.earlier
        self.probe.set_back(dump)
        self.model, self.has_lost = model.elsewhere(), True
        self.see_to(comes_back)

    def see_to(self, comes_back: str) -> None:
        """Edge and workers notice at once, or later, or one of them never."""
        if comes_back == "bare":
            return
        for line in range(len(self.lines)):
            self.announce(line, kept=True)
        if comes_back == "restored":
            for holder in list(self.holders):
                self.restore(self.holders.index(holder), 0)


class Machine(Troubles):
    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        seen = self.probe.look()
        self.calls_are_right(seen)
        self.dispatch_is_right(seen)
        self.keys_are_right(seen)
        alive = {name: end > seen.now_ms for name, end in seen.leases.items()}
        assert alive == self.model.leases

    def calls_are_right(self, seen: Seen) -> None:
        assert seen.calls.keys() == self.model.calls.keys()
        entry_of = {call_id: entry_id for call_id, entry_id, _ in seen.dispatch}
        for call_id, found in seen.calls.items():
            call = self.model.calls[call_id]
            kept_until = int(found.facts.pop("kept_until"))
            is_here = found.facts.pop("server") == self.probe.server()
            assert is_here == call.is_announced_here
            awaited, _, until_ms = found.facts.pop("awaited", b"").partition(b" ")
            if not call.is_announced_here:
                was_here = awaited == self.probe.server()
                is_awaited = int(until_ms) > seen.now_ms if was_here else None
                assert is_awaited == call.edge_is_awaited
            assert found.facts == facts_of(call, entry_of[call_id])
            assert (kept_until > seen.now_ms) == call.is_kept
            assert found.events == call.events
            assert found.commands == call.commands
            numbers = [n for n, _ in found.commands]
            for before, after in pairwise(numbers):
                assert after == before + 1 or after in call.jumps

    def dispatch_is_right(self, seen: Seen) -> None:
        found = [(call_id, holder) for call_id, _, holder in seen.dispatch]
        assert found == [(entry.call_id, entry.holder) for entry in self.model.dispatch]
        assert sorted(call_id for call_id, _ in found) == sorted(seen.calls)
        dispatch = self.model.dispatch
        assert seen.undelivered == sum(not entry.was_handed_out for entry in dispatch)
        assert seen.pending == sum(entry.holder is not None for entry in dispatch)
        assert all(entry.holder or not entry.was_handed_out for entry in dispatch)
        # Whoever holds an entry is somebody whose death is noticed.
        assert {holder for _, holder in found if holder} <= seen.leases.keys()

    def keys_are_right(self, seen: Seen) -> None:
        for_ever = {name for name, lives in seen.lives_ms.items() if lives == -1}
        assert for_ever <= {LANE.calls, LANE.workers}
        of_calls = {name for call_id in seen.calls for name in LANE.keys(call_id)[-3:]}
        assert seen.lives_ms.keys() - for_ever <= {LANE.ended, *of_calls}
        assert seen.ended == set(self.model.ended)
        assert all(lives <= TTL_S * 1000 for lives in seen.lives_ms.values())

    @invariant()
    def nothing_is_heard_twice(self) -> None:
        for line in self.lines:
            spoken: dict[bytes, list[list[int]]] = {}
            for _, command in line.heard:
                token, number, place = command.split(b"/")
                spoken.setdefault(token, []).append([int(number), int(place)])
            for commands in spoken.values():
                assert all(a < b for a, b in pairwise(commands))

    def teardown(self) -> None:
        """Everything is heard in the end, unless Redis has lost something."""
        for number, line in enumerate(self.lines):
            self.hear(number, 10_000, trims=False)
            if not self.has_lost:
                call = self.model.calls.get(line.call_id, Call())
                assert [n for n, _ in line.heard] == list(range(1, call.out + 1))


def facts_of(call: Call, entry_id: bytes) -> dict[str, bytes]:
    numbers = {
        name: str(getattr(call, name)).encode()
        for name in ("claims", "commit", "cursor", "partial", "out", "read", "deaths")
    }
    return {
        **numbers,
        "token": call.token.encode(),
        "state": call.state,
        "died_at": b"" if call.died_at is None else str(call.died_at).encode(),
        "edge": EDGE.encode(),
        "start": FIRST,
        "entry": entry_id,
    }


@pytest.mark.timeout(600)
def test_any_order_of_steps_ends_as_the_model_says(redis_url: str) -> None:
    answers: Counter[str] = Counter()
    with redis.Redis.from_url(redis_url, protocol=3) as client:
        for script in SCRIPTS.values():
            client.script_load(script.source)
        probe = LaneProbe(client, LANE)
        machine = type("Machine", (Machine,), {"probe": probe, "answers": answers})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    if EXAMPLES >= 500:
        assert not FAULTS_TO_BE_SEEN - answers.keys()
