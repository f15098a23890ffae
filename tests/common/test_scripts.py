"""The scripts together: any order of steps, by any number of workers, against a model in Python.

What one script answers stands in `test_bus.py`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from common import bus, membership
from common.bus import Claim, Commit
from common.keys import TTL_S, lanes
from common.link import Request
from common.scripts import SCRIPTS

LANE = lanes("model", 1)[0]
KEYS = LANE.keys("c1")
TOKENS = st.sampled_from(["w1:1", "w2:1"])


def test_script_is_called_by_the_hash_that_redis_gives_it() -> None:
    for sha, script in SCRIPTS.items():
        assert sha == hashlib.sha1(script.source).hexdigest().encode()
        assert script.call((b"k",), "a", 1) == (b"EVALSHA", sha, 1, b"k", "a", 1)


class Call(msgspec.Struct):
    """What a call's keys should say."""

    token: str = ""
    commit: int = 0
    cursor: int = 0
    partial: int = 0
    state: bytes = b""
    events: list[int] = msgspec.field(default_factory=lambda: [1])
    appended: int = 1
    commands: list[bytes] = []

    def seen_by_its_owner(self) -> Claim:
        return Claim(
            self.commit, self.cursor, self.partial, len(self.commands), self.state, b"first", "edge"
        )


def is_worth_ending(call: Call | None) -> bool:
    """Calls that end as soon as they begin hide what comes later."""
    return call is None or not call.token or call.commit > 4


class Steps(RuleBasedStateMachine):
    """Each rule takes a step, compares the answer with the model's, and now and then repeats it,
    as after a lost reply."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.call: Call | None = None
        for worker in ("w1", "w2"):
            self.ask(membership.renew_worker(LANE, worker, lease_ms=600_000))

    def ask(self, request: Request) -> Any:
        return self.client.execute_command(*request)  # type: ignore[no-untyped-call]

    @rule()
    def announce(self) -> None:
        stored = self.ask(bus.announce(KEYS, "edge", b"first"))
        assert stored == (self.call.appended if self.call else 1)
        self.call = self.call or Call()

    @rule()
    def append(self) -> None:
        sequence = self.call.appended + 1 if self.call else 2
        reply = self.ask(bus.append_event(KEYS, sequence, b"event"))
        assert reply == (b"%d-0" % sequence if self.call else None)
        if self.call:
            self.call.appended = sequence
            self.call.events.append(sequence)

    @rule(token=TOKENS)
    def claim(self, token: str) -> None:
        answer = bus.read_claim(self.ask(bus.claim(KEYS, token)))
        if self.call is None:
            assert answer == "GONE"
        elif self.call.token in ("", token):
            self.call.token = token
            assert answer == self.call.seen_by_its_owner()
        else:
            assert answer == "TAKEN"

    @rule(
        token=TOKENS,
        skipped=st.sampled_from([0, 0, 0, 0, -1, -2, 1]),
        handled=st.integers(0, 3),
        partial=st.integers(0, 2),
        state=st.none() | st.binary(max_size=3),
        commands=st.lists(st.binary(max_size=2), max_size=3),
    )
    def commit(
        self,
        token: str,
        skipped: int,
        handled: int,
        partial: int,
        state: bytes | None,
        commands: list[bytes],
    ) -> None:
        known = self.call or Call()
        cursor = min(known.cursor + handled, known.appended)
        step = Commit(known.commit + 1 + skipped, cursor, partial, state, commands)
        answer = bus.read_commit(self.ask(bus.commit(KEYS, token, step)))
        assert answer == self.expected(token, skipped)
        if answer == "COMMITTED":
            self.committed(step)
            assert self.ask(bus.commit(KEYS, token, step)) == b"ALREADY"

    @precondition(lambda self: self.call is not None and self.call.token)
    @rule(count=st.integers(20, 40))
    def commit_often(self, count: int) -> None:
        """Housekeeping is done once in a while only; so let a while pass."""
        assert self.call is not None
        for number in range(self.call.commit + 1, self.call.commit + 1 + count):
            step = Commit(number, self.call.cursor, 0, None, [])
            assert self.ask(bus.commit(KEYS, self.call.token, step)) == b"COMMITTED"
            self.committed(step)

    def committed(self, step: Commit) -> None:
        assert self.call is not None
        self.call.commit = step.number
        self.call.cursor, self.call.partial = step.cursor, step.partial
        self.call.commands += step.commands
        self.call.state = self.call.state if step.state is None else step.state
        if step.number % 32 == 1:
            self.call.events = [n for n in self.call.events if n > step.cursor]

    def expected(self, token: str, skipped: int) -> str:
        if self.call is None:
            return "GONE"
        if self.call.token != token:
            return "FENCED"
        return {0: "COMMITTED", -1: "ALREADY"}.get(skipped, "CONFLICT")

    @precondition(lambda self: is_worth_ending(self.call))
    @rule(token=TOKENS)
    def finish(self, token: str) -> None:
        answer = self.ask(bus.finish(KEYS, token))
        if self.call is None:
            assert answer == b"GONE"
        elif self.call.token != token:
            assert answer == b"FENCED"
        else:
            assert answer == b"FINISHED"
            self.call = None

    @precondition(lambda self: is_worth_ending(self.call))
    @rule()
    def withdraw(self) -> None:
        answer = self.ask(bus.withdraw(KEYS))
        if self.call is None:
            assert answer == b"GONE"
        elif self.call.token:
            assert answer == b"TAKEN"
        else:
            assert answer == b"WITHDRAWN"
            self.call = None

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        dispatched = [fields for _, fields in self.entries(KEYS.calls)]
        if self.call is None:
            assert dispatched == []
            assert self.client.exists(*KEYS[3:]) == 0
            return
        assert dispatched == [{b"e": b"c1"}]
        assert [self.number(e) for e, _ in self.entries(KEYS.events)] == self.call.events
        commands = [(self.number(e), fields[b"e"]) for e, fields in self.entries(KEYS.commands)]
        assert commands == list(enumerate(self.call.commands, 1))

    @invariant()
    def every_key_of_a_call_dies_by_itself(self) -> None:
        for key in KEYS[3:]:
            if self.client.exists(key):
                assert 0 < int(self.client.ttl(key)) <= TTL_S

    def entries(self, key: bytes) -> list[Any]:
        found: Any = self.client.xrange(key)
        return list(found)

    @staticmethod
    def number(entry_id: bytes) -> int:
        return int(entry_id.partition(b"-")[0])


def test_any_order_of_steps_ends_as_the_model_says(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for script in SCRIPTS.values():
            client.script_load(script.source)
        machine = type("Steps", (Steps,), {"client": client})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
