"""Workers that die, stand still, are cut off, or leave."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from common.scripts import COMMIT
from tests.system.chaos.config import Config, Needs
from tests.system.chaos.fault import Fault
from tests.system.chaos.row import Row
from tests.system.chaos.stage import Stage
from tests.system.chaos.takeover import orphans_of
from tests.system.processes import Process, wait_until
from tests.waiting import Starvation

__all__ = ["FAULTS"]

_TAKEN_OVER_MS = 1500
_LEAD_MS = 1500
#: With that much speech ahead a worker's death is not to be heard.
_GAP_MS = 40
_GAP_WITHOUT_LEAD_MS = 1400
_HANDED_OVER_MS = 300
_GAP_OF_HANDOVER_MS = 100


def _kill_one(config: Config, row: Row) -> None:
    """With speech committed ahead, and with none: then all of the silence is heard."""
    if not config.is_brief:
        _kill_once(config, row, lead_ms=0)
        row.gap_within(_GAP_WITHOUT_LEAD_MS)
        row.notes.append(f"gap without speech ahead: {row.gap_ms:.0f} ms")
        row.gap_ms = None
    _kill_once(config, row, lead_ms=_LEAD_MS)
    row.gap_within(_GAP_MS)


def _kill_once(config: Config, row: Row, *, lead_ms: int) -> None:
    with Stage(config, Needs(lead_ms=lead_ms)) as stage:
        stage.talk()
        _kill(stage, row, [stage.busiest_worker()], within_ms=_TAKEN_OVER_MS)
        stage.wait_until_heard(75, calls=config.calls)
        stage.finish(row)


def _kill_many_times(config: Config, row: Row) -> None:
    """At a random moment; every third time with a commit on its way whose answer nobody gets, and
    every third time after such an answer was lost and the commit repeated."""
    already = 0
    with Stage(config, Needs(lead_ms=_LEAD_MS, proxied="worker")) as stage:
        stage.talk()
        for number in range(config.rounds):
            victim = stage.busiest_worker()
            stage.last(random.uniform(0.0, 0.3))
            if number % 3:
                _lose_an_answer(stage, victim)
            if number % 3 == 2:
                already += _repeats_its_commit(stage, victim)
            _kill(stage, row, [victim], within_ms=_TAKEN_OVER_MS)
            stage.started_worker()
            stage.wait_until_heard(75, calls=config.calls)
        stage.finish(row)
    row.rounds = config.rounds
    row.gap_within(_GAP_MS)
    wanted = min(3, config.rounds // 3)
    row.expect(already >= wanted, f"only {already} rounds had a commit that was repeated")


def _lose_an_answer(stage: Stage, worker: Process) -> None:
    proxy = stage.proxy_of[worker.name]
    lost = stage.proxies.do(lambda: proxy.drop_next_reply(to=COMMIT.sha))
    wait_until(lost.is_set)


def _repeats_its_commit(stage: Stage, worker: Process) -> bool:
    """Whether Redis told this worker that a commit of its was applied already."""

    def has_repeated() -> bool:
        stage.counters.sample(worker)
        return stage.counters.of(worker, "already") > 0

    wait_until(has_repeated)
    return True


def _kill_most(config: Config, row: Row) -> None:
    with Stage(config, Needs(workers=4, lead_ms=_LEAD_MS)) as stage:
        stage.talk()
        _kill(stage, row, stage.live_workers()[:3], within_ms=2500)
        stage.wait_until_heard(100, calls=config.calls)
        stage.finish(row)


def _stop_for_long(config: Config, row: Row) -> None:
    with Stage(config, Needs(lead_ms=_LEAD_MS)) as stage:
        stage.talk()
        victim = stage.busiest_worker()
        (orphans,) = orphans_of(stage, victim)
        victim.pause()
        began = time.monotonic()
        try:
            orphans.wait_until_taken_over(row, within_ms=_TAKEN_OVER_MS)
            stage.last(max(0.0, began + 5.0 - time.monotonic()))
        finally:
            victim.resume()
        _expect_to_let_go(row, victim, within_ms=500)
        stage.wait_until_heard(75, calls=config.calls)
        row.expect(not _went_back(stage, orphans.worker, orphans.calls), "calls went back")
        stage.finish(row)
    row.gap_within(_GAP_MS)
    row.rounds += 1


def _stop_for_a_moment(config: Config, row: Row) -> None:
    """Shorter than a lease: nobody may take that for a death."""
    with Stage(config, Needs(lead_ms=_LEAD_MS)) as stage:
        stage.talk()
        for _ in range(3):
            victim = stage.busiest_worker()
            victim.pause()
            stage.last(0.7)
            victim.resume()
            row.rounds += 1
            stage.wait_until_heard(75, calls=config.calls)
        stage.finish(row)
    row.gap_within(_GAP_MS)
    row.expect(row.takeovers == 0, "calls changed hands though the lease had not run out")


def _leave(config: Config, row: Row) -> None:
    with Stage(config, Needs()) as stage:
        stage.talk()
        leaver = stage.busiest_worker()
        (orphans,) = orphans_of(stage, leaver)
        leaver.terminate()
        orphans.wait_until_taken_over(row, within_ms=_HANDED_OVER_MS)
        row.expect(leaver.exit_code() == 0, "the worker did not exit with 0")
        stage.wait_until_heard(75, calls=config.calls)
        stage.finish(row)
    row.gap_within(_GAP_OF_HANDOVER_MS)
    row.rounds += 1


def _cut_off(config: Config, row: Row) -> None:
    """A worker lives, but its way to Redis is a black hole; what was on it arrives later."""
    with Stage(config, Needs(lead_ms=_LEAD_MS, proxied="worker")) as stage:
        stage.talk()
        victim = stage.busiest_worker()
        proxy = stage.proxy_of[victim.name]
        (orphans,) = orphans_of(stage, victim)
        stage.proxies.do(proxy.stall)
        began = time.monotonic()
        try:
            orphans.wait_until_taken_over(row, within_ms=_TAKEN_OVER_MS)
            handled = _handled(victim)
            stage.last(max(0.0, began + 5.0 - time.monotonic()))
            row.expect(_handled(victim) == handled, "the old owner went on without a lease")
        finally:
            stage.proxies.do(proxy.resume)
        _expect_to_let_go(row, victim, within_ms=1500)
        stage.wait_until_heard(75, calls=config.calls)
        row.expect(not _went_back(stage, orphans.worker, orphans.calls), "calls went back")
        stage.finish(row)
    row.gap_within(_GAP_MS)
    row.rounds += 1


def _handled(worker: Process) -> float:
    """How many handlers have begun there."""
    return worker.metric("trunkline_worker_lag_seconds_count")


def _kill(stage: Stage, row: Row, victims: list[Process], *, within_ms: float) -> None:
    stage.sample()
    all_orphans = orphans_of(stage, *victims)
    for victim in victims:
        victim.kill()
    for orphans in all_orphans:
        orphans.wait_until_taken_over(row, within_ms=within_ms)
    row.rounds += 1


def _expect_to_let_go(row: Row, worker: Process, *, within_ms: float) -> None:
    """The worker finds out that its calls are another's, or will be, and runs them no more."""
    starvation, began = Starvation(worker.pid), time.monotonic()
    wait_until(lambda: worker.status("/metrics") == 200)
    wait_until(lambda: worker.metric("trunkline_worker_calls") == 0)
    took_ms = (time.monotonic() - began) * 1000
    row.at_most(took_ms, within_ms + starvation.seconds * 1000, "the old owner let go after, ms")
    row.notes.append(f"the old owner let go after {took_ms:.0f} ms")


def _went_back(stage: Stage, worker: str, calls: Sequence[str]) -> list[str]:
    return [call for call in calls if stage.watch.owners().get(call) == worker]


FAULTS = [
    Fault("F1", "kill -9 one of three workers", _kill_one),
    Fault("F2", "kill -9 one worker, again and again", _kill_many_times),
    Fault("F3", "kill -9 three of four workers at once", _kill_most),
    Fault("F4", "a worker stands still for 5 s", _stop_for_long),
    Fault("F5", "a worker stands still for 0.7 s", _stop_for_a_moment),
    Fault("F6", "a worker is asked to leave", _leave),
    Fault("F14", "a worker is cut off from Redis for 5 s", _cut_off),
]
