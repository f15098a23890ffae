"""How long it took until the calls of a worker were another's, as Redis saw it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.system.chaos.row import Row
from tests.system.chaos.stage import Stage
from tests.system.processes import Process, wait_until
from tests.waiting import Starvation

__all__ = ["Orphans", "orphans_of"]

_DEADLINE_S = 30.0


class Orphans(NamedTuple):
    """The calls that one worker owned when something happened to it."""

    stage: Stage
    worker: str
    calls: Sequence[str]
    since_ns: int
    starvation: Starvation

    def wait_until_taken_over(self, row: Row, *, within_ms: float) -> None:
        """Every one of them, by exactly one other worker, in time. Fills the row's times."""
        row.expect(bool(self.calls), "the worker owned no call: the fault was not exercised")
        wait_until(lambda: all(map(self._new_owners, self.calls)), within_s=_DEADLINE_S)
        times = [ms for call in self.calls if (ms := self._taken_over_ms(call)) is not None]
        if times:
            row.took(min(times), max(times))
        limit_ms = within_ms + self.starvation.seconds * 1000
        row.at_most(max(times, default=None), limit_ms, "calls taken over, ms")
        for call in self.calls:
            row.expect(len(self._new_owners(call)) == 1, f"call {call} had {self._history(call)}")

    def _new_owners(self, call: str) -> list[tuple[int, str]]:
        changes = self.stage.watch.changes(call, since_ns=self.since_ns)
        return [(c.at_ns, c.worker) for c in changes if c.worker not in ("", self.worker)]

    def _taken_over_ms(self, call: str) -> float | None:
        owners = self._new_owners(call)
        return (owners[0][0] - self.since_ns) / 1e6 if owners else None

    def _history(self, call: str) -> str:
        owners = [worker for _, worker in self._new_owners(call)]
        return f"the owners {owners} after {self.worker}"


def orphans_of(stage: Stage, *workers: Process) -> list[Orphans]:
    """To be asked right before the fault."""
    ids = [worker.worker_id() for worker in workers]
    now = time.monotonic_ns()
    starvation = Starvation(*stage.pids())
    return [Orphans(stage, each, stage.watch.owned_by(each), now, starvation) for each in ids]
