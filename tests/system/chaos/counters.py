"""The processes' counters, also of those that are dead: as they were when last asked."""

from __future__ import annotations

from tests.system.processes import Process

__all__ = ["Counters"]

_WORKER = {
    **{
        answer.lower(): ("trunkline_worker_commits_total", {"answer": answer})
        for answer in ("COMMITTED", "ALREADY", "FENCED", "CONFLICT")
    },
    "takeovers": ("trunkline_worker_takeovers_total", {}),
    "handovers": ("trunkline_worker_handovers_total", {}),
    "restores": ("trunkline_worker_restores_total", {}),
    "reannounced": ("trunkline_edge_reannounced_total", {}),
    "replayed": ("trunkline_edge_events_replayed_total", {}),
}


class Counters:
    def __init__(self) -> None:
        self._last: dict[str, dict[str, float]] = {}

    def sample(self, *processes: Process) -> None:
        """Those that do not answer keep what they had."""
        for process in processes:
            if process.is_running and process.status("/metrics") == 200:
                self._last[process.name] = {
                    key: process.metric(name, **labels) for key, (name, labels) in _WORKER.items()
                }

    def total(self, key: str) -> int:
        return int(sum(counted[key] for counted in self._last.values()))

    def of(self, process: Process, key: str) -> int:
        return int(self._last.get(process.name, {}).get(key, 0))
