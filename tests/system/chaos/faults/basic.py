"""No fault at all, a checker that is put to the test itself, and very many short calls."""

from __future__ import annotations

import time

from tests.system.chaos.config import Config, Needs
from tests.system.chaos.fault import Fault
from tests.system.chaos.probes import Footprint, footprint
from tests.system.chaos.row import Row
from tests.system.chaos.stage import Stage
from tests.system.processes import Process

__all__ = ["FAULTS"]

_CLEAR_EVERY = 100

#: What each deviating agent must be caught at, by the number of its caller.
_MUTANTS = {
    1: ("drop", "lost"),
    2: ("double", "repeated"),
    3: ("swap", "disordered"),
    4: ("remark", "repeated"),
}
_SHORT_CALLS = 2000
_SHORT_CALL_S = 1.0
_REST_S = 1.0
_MIB = 1 << 20


def _baseline(config: Config, row: Row) -> None:
    """Every provider; a clear every two seconds, on half of the way with speech ahead."""
    for lead_ms in (1500,) if config.is_brief else (1500, 0):
        with Stage(config, Needs(clear_every=_CLEAR_EVERY, lead_ms=lead_ms)) as stage:
            stage.place(config.calls)
            stage.wait_until_heard(_CLEAR_EVERY * 5 // 2, calls=config.calls)
            row.rounds += 1
            stage.finish(row)
    row.gap_within(100)
    row.expect(row.takeovers == 0, "calls changed hands though no worker died")


def _mutants(config: Config, row: Row) -> None:
    """Each kind of fault that the checker is to see is made on purpose, once."""
    deviations = ",".join(f"{caller}:{kind}" for caller, (kind, _) in _MUTANTS.items())
    needs = Needs(
        workers=1,
        worker=(("CHAOS_DEVIATIONS", deviations),),
        providers=("twilio", "telnyx", "wavix"),
    )
    judged = Row.new("mutants", "what the checker says")
    with Stage(config, needs) as stage:
        stage.talk(len(_MUTANTS) + 1, frames=100, patience_s=2.0)
        left = f"{{{stage.system.namespace}:0}}:call:left"
        stage.system.redis.hset(left, "token", "")
        tally = stage.finish(judged, keys_within_s=2.0)
        stage.system.redis.delete(left)
    caught = 0
    for call in tally.calls:
        kind, what = _MUTANTS.get(call.caller, ("", ""))
        counts = {name: getattr(call, name) for name in ("lost", "repeated", "disordered")}
        if kind:
            is_caught = counts.pop(what) > 0 and not any(counts.values())
            row.expect(is_caught, f"{kind} was taken for {call.problems}")
            caught += is_caught
        else:
            row.expect(not call.problems, f"a good call was blamed: {call.problems}")
    is_caught = judged.keys_left == 1
    row.expect(is_caught, "the key that was left was not found")
    caught += is_caught
    row.calls, row.rounds = len(tally.calls), len(_MUTANTS) + 1
    row.notes.append(f"{caught}/{len(_MUTANTS) + 1} mutants")


def _steady(config: Config, row: Row) -> None:
    """Short calls without end leave nothing: no key, no task, no file; and once every buffer has
    had its largest size, memory stays flat."""
    with Stage(config, Needs(workers=2)) as stage:
        processes = [*stage.system.edges, *stage.system.workers]
        measured = []
        for calls in (_SHORT_CALLS // 4, _SHORT_CALLS // 2, _SHORT_CALLS // 2):
            _short_calls(stage, row, calls)
            measured.append([_rest(process, footprint(process)) for process in processes])
            memory = _redis_memory(stage)
            row.notes.append(f"after {calls} calls: Redis holds {memory / _MIB:.1f} MiB")
        for process, then, now in zip(processes, *measured[1:], strict=True):
            _expect_flat(row, process, then, now)
        stage.finish(row)


def _short_calls(stage: Stage, row: Row, calls: int) -> None:
    slots = stage.config.calls
    repeats = -(-calls // slots)
    stage.place(slots, seconds=_SHORT_CALL_S, repeats=repeats, first_number=row.rounds * slots + 1)
    stage.wait_for_callers(row, within_s=repeats * (_SHORT_CALL_S + 5) + 60)
    stage.wait_until_clean(row, within_s=5.0)
    row.rounds += repeats


def _rest(process: Process, seen: Footprint) -> Footprint:
    """The least that is seen for a while: to be asked takes a task and a file itself."""
    until = time.monotonic() + _REST_S
    while time.monotonic() < until:
        seen = seen.least(footprint(process))
    return seen


def _expect_flat(row: Row, process: Process, then: Footprint, now: Footprint) -> None:
    row.notes.append(f"{process.name}: {then} -> {now}")
    row.expect(now.tasks <= then.tasks + 2, f"{process.name} holds more tasks")
    row.expect(now.files <= then.files + 2, f"{process.name} holds more files")
    row.at_most(now.memory - then.memory, max(2.0, then.memory / 20), f"{process.name} grew, MiB")


def _redis_memory(stage: Stage) -> int:
    return int(stage.system.redis.info("memory")["used_memory"])


FAULTS = [
    Fault("baseline", "no fault", _baseline),
    Fault("mutants", "the checker catches what it is there for", _mutants),
    Fault("steady", f"{_SHORT_CALLS} short calls leave nothing behind", _steady, takes_part=False),
]
