"""Deploys under load: every process is replaced, again and again; and a call that kills workers."""

from __future__ import annotations

from tests.system.chaos.config import APART, Config, Needs
from tests.system.chaos.fault import Fault
from tests.system.chaos.ledger import Kind
from tests.system.chaos.row import Row
from tests.system.chaos.stage import Stage
from tests.system.chaos.takeover import orphans_of
from tests.system.processes import SPEECH, wait_until

__all__ = ["FAULTS"]

_GAP_MS = 100
_HANDED_OVER_MS = 300
_RESTARTS = 1012
_FAILED = 1011
_DEATHS = 3


def _rounds(config: Config) -> int:
    return max(1, config.rounds // 2)


def _replace_workers(config: Config, row: Row) -> None:
    """The echo has nothing queued ahead, so whatever a handover costs is heard."""
    with Stage(config, Needs()) as stage:
        stage.talk()
        for _ in range(_rounds(config)):
            _renew_workers(stage, row)
            row.rounds += 1
        stage.finish(row)
    row.gap_within(_GAP_MS)


def _replace_all(config: Config, row: Row) -> None:
    """Calls whose edge goes are closed 1012 and dialled again; no other call may notice."""
    edge = (("TRUNKLINE_DRAIN_TIMEOUT_S", "0.5"),)
    with Stage(config, Needs(edges=2, edge=edge, redials=True)) as stage:
        stage.talk()
        for _ in range(_rounds(config)):
            _renew_workers(stage, row)
            for number in range(2):
                _renew_edge(stage, row, number)
            row.rounds += 1
        tally = stage.finish(row, cut=True)
    cut = [call for call in tally.calls if not call.stopped]
    wrong = sorted({call.close_code for call in cut} - {_RESTARTS})
    row.expect(not wrong, f"calls were closed with {wrong}, expected {_RESTARTS}")
    whole = len(tally.calls) - len(cut)
    row.expect(whole == config.calls, f"{whole} calls were on at the end, not {config.calls}")
    row.notes.append(f"{len(cut)} calls were closed {_RESTARTS} and dialled again")
    _poison(config, row)


def _renew_workers(stage: Stage, row: Row) -> None:
    """One after another, the new one first, as a rolling deploy does."""
    for leaver in stage.live_workers():
        stage.started_worker()
        stage.sample()
        (orphans,) = orphans_of(stage, leaver)
        leaver.terminate()
        if orphans.calls:
            orphans.wait_until_taken_over(row, within_ms=_HANDED_OVER_MS)
        row.expect(leaver.exit_code() == 0, f"{leaver.name} did not exit with 0")
    stage.wait_until_heard(25, calls=stage.config.calls)


def _renew_edge(stage: Stage, row: Row, number: int) -> None:
    """In the same place, as seen from the callers, who dial again until it is there."""
    leaver = stage.system.edges[number]
    stage.sample()
    leaver.terminate()
    row.expect(leaver.exit_code() == 0, f"{leaver.name} did not exit with 0")
    stage.restarted_edge(number)
    stage.wait_until_heard(25, calls=stage.config.calls)


def _poison(config: Config, row: Row) -> None:
    """Whoever hears the 60th frame of one caller dies; that must end before all have."""
    worker = (("CHAOS_POISON", f"{APART}:60"), ("TRUNKLINE_FALLBACK_PROMPT", str(SPEECH)))
    with Stage(config, Needs(workers=5, lead_ms=1500, worker=worker)) as stage:
        stage.talk()
        stage.place(1, first_number=APART, providers=["twilio"])
        wait_until(lambda: stage.ended_apart() == 1, within_s=60.0, every_s=0.1)
        stage.wait_until_heard(50, calls=config.calls)
        deaths = sum(not worker.is_running for worker in stage.system.workers)
        records = stage.groups.records()
        tally = stage.finish(row)
    poisoned = records[records["caller"] == APART]
    prompt = int((poisoned["kind"] == Kind.DAMAGED).sum())
    row.notes.append(f"the poisoned call killed {deaths} workers, prompt of {prompt} frames")
    row.expect(deaths == _DEATHS, f"{deaths} workers died, not {_DEATHS}")
    row.expect(prompt > 0, "the poisoned caller heard no prompt")
    codes = {call.close_code for call in tally.calls if call.caller >= APART}
    row.expect(codes == {_FAILED}, f"the poisoned call was closed with {codes}")


FAULTS = [
    Fault("rolling", "all workers are replaced, in rounds", _replace_workers),
    Fault("F20", "all workers and edges are replaced, and a call kills workers", _replace_all),
]
