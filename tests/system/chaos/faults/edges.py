"""Edges that leave, die or are cut off, and callers that stop reading."""

from __future__ import annotations

import time

from ops.phone.dialects import known_dialects
from tests.system.chaos.check import CallResult
from tests.system.chaos.config import APART, Config, Needs
from tests.system.chaos.fault import Fault
from tests.system.chaos.ledger import Kind
from tests.system.chaos.row import Row
from tests.system.chaos.stage import Stage
from tests.system.processes import wait_until
from tests.waiting import Starvation

__all__ = ["FAULTS"]

_LEAD_MS = 1500
_RESTARTS = 1012
_FAILED = 1011
_TOO_SLOW = 1008
_EDGE_LOST_S = 10.0
_STUCK = 10
_STUCK_S = 10.0


def _leave(config: Config, row: Row) -> None:
    """Who hangs up while the edge drains ends as usual; the rest is closed at the deadline."""
    edge = (("TRUNKLINE_DRAIN_TIMEOUT_S", "5"),)
    short, rest = max(1, config.calls // 5), config.calls - max(1, config.calls // 5)
    with Stage(config, Needs(edges=2, edge=edge)) as stage:
        stage.talk(rest)
        stage.place(short, seconds=3.0, first_number=rest + 1)
        stage.wait_until_heard(25, calls=config.calls)
        leaver, other = stage.system.edges
        leaver.terminate()
        starvation, began = Starvation(leaver.pid), time.monotonic()
        wait_until(lambda: leaver.status("/readyz") != 200)
        took_s = time.monotonic() - began - starvation.seconds
        row.at_most(took_s * 1000, 150, "still took calls after, ms")
        stage.groups.tell("press 7")
        row.expect(leaver.exit_code() == 0, "the edge did not exit with 0")
        row.rounds += 1
        row.expect(other.status("/readyz") == 200, "the other edge is not ready")
        tally = stage.finish(row, cut=True)
    cut = [call for call in tally.calls if not call.stopped]
    row.expect(bool(cut), "no call was left to be closed")
    _expect_codes(row, cut, {_RESTARTS})
    row.expect(all(call.caller <= rest for call in cut), "a caller who hung up in time was cut")
    deaf = [call.caller for call in tally.calls if _has_keys(call) and call.keys != "7"]
    row.expect(not deaf, f"the key pressed while draining did not arrive on {deaf[:3]}")


def _has_keys(call: CallResult) -> bool:
    dialects = list(known_dialects().values())
    return dialects[call.caller % len(dialects)].has_dtmf


def _kill(config: Config, row: Row) -> None:
    """The sockets die with it; its calls end, with a reason, and leave nothing."""
    with Stage(config, Needs(edges=2)) as stage:
        stage.talk()
        victim = stage.system.edges[0]
        lost = int(victim.metric("trunkline_edge_calls"))
        victim.kill()
        began = time.monotonic()
        row.rounds += 1
        row.expect(lost > 0, "the edge had no call: the fault was not exercised")
        limit = began + 2 * _EDGE_LOST_S
        wait_until(
            lambda: _are_on(stage) <= config.calls - lost or time.monotonic() > limit, within_s=60
        )
        took_s = time.monotonic() - began
        row.notes.append(f"{lost} calls of the dead edge ended after {took_s:.1f} s")
        row.at_most(took_s, _EDGE_LOST_S, "calls of the dead edge ended after, s")
        stage.wait_until_heard(50, calls=config.calls - lost)
        tally = stage.finish(row, cut=True, keys_within_s=60.0)
    cut = [call for call in tally.calls if not call.stopped]
    row.expect(len(cut) == lost, f"{len(cut)} calls were cut, {lost} were on the dead edge")
    row.expect(all(call.reason for call in cut), "an agent was not told of the end")


def _cut_off(config: Config, row: Row) -> None:
    with Stage(config, Needs(lead_ms=_LEAD_MS, proxied="edge")) as stage:
        stage.talk()
        proxy = stage.proxy_of[stage.system.edge.name]
        stage.proxies.do(proxy.stall)
        try:
            stage.last(4.0)
        finally:
            stage.proxies.do(proxy.resume)
        row.rounds += 1
        stage.wait_until_heard(100, calls=config.calls)
        stage.finish(row)
        row.notes.append(f"events replayed: {stage.counters.total('replayed')}")
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")
    _cut_off_for_too_long(config, row)


def _cut_off_for_too_long(config: Config, row: Row) -> None:
    """Longer than the edge keeps what it hears: the calls are given up, and said to be."""
    edge = (("TRUNKLINE_OUTAGE_TIMEOUT_S", "2"),)
    with Stage(config, Needs(proxied="edge", edge=edge)) as stage:
        stage.talk()
        proxy = stage.proxy_of[stage.system.edge.name]
        stage.proxies.do(proxy.stall)
        try:
            wait_until(lambda: _closed(stage) >= config.calls, every_s=0.1)
        finally:
            stage.proxies.do(proxy.resume)
        row.rounds += 1
        tally = stage.finish(row, cut=True, keys_within_s=20.0)
    _expect_codes(row, tally.calls, {_FAILED})


def _closed(stage: Stage) -> int:
    records = stage.groups.records()
    return int((records["kind"] == Kind.CLOSED).sum())


def _stop_reading(config: Config, row: Row) -> None:
    """Ten callers read nothing for ever: they are closed, and nobody else notices."""
    with Stage(config, Needs(lead_ms=_LEAD_MS)) as stage:
        stage.talk()
        stage.place(_STUCK, first_number=APART, receive_buffer=4096, patience_s=0.5)
        stage.wait_until_heard(50, calls=config.calls + _STUCK)
        stage.groups.tell(f"stop_reading {_STUCK}", group=1)
        began = time.monotonic()
        row.rounds += 1
        limit = began + _STUCK_S
        wait_until(lambda: _are_on(stage) <= config.calls or time.monotonic() > limit, within_s=60)
        took_s = time.monotonic() - began
        row.notes.append(f"callers that read nothing were closed after {took_s:.1f} s")
        row.at_most(took_s, _STUCK_S, "callers that read nothing were closed after, s")
        stage.groups.tell("go_on_reading", group=1)
        stage.wait_until_heard(50, calls=config.calls)
        tally = stage.finish(row)
    row.gap_within(40)
    _expect_codes(row, [c for c in tally.calls if c.caller >= APART], {_TOO_SLOW, 1006})


def _are_on(stage: Stage) -> int:
    return len(stage.watch.owners())


def _expect_codes(row: Row, calls: list[CallResult], codes: set[int]) -> None:
    wrong = sorted({call.close_code for call in calls} - codes)
    row.expect(not wrong, f"calls were closed with {wrong}, expected {sorted(codes)}")


FAULTS = [
    Fault("F7", "an edge is asked to leave", _leave),
    Fault("F8", "kill -9 one of two edges", _kill),
    Fault("F15", "an edge is cut off from Redis for 4 s, and for too long", _cut_off),
    Fault("F17", "ten callers stop reading", _stop_reading),
]
