"""What is left when all calls are over: in Redis, and in the processes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import redis

from tests.system.processes import Process, System

__all__ = ["Footprint", "footprint", "keys_left", "ledger_faults"]

_LASTING = ("calls", "workers", "edges", "ended")


class Footprint(NamedTuple):
    """What a process holds; memory in MiB."""

    tasks: int
    files: int
    memory: float

    def least(self, other: Footprint) -> Footprint:
        return Footprint(
            min(self.tasks, other.tasks),
            min(self.files, other.files),
            min(self.memory, other.memory),
        )


def footprint(process: Process) -> Footprint:
    status = Path(f"/proc/{process.pid}/status").read_text()
    resident_kib = next(
        int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")
    )
    return Footprint(
        int(process.metric("trunkline_tasks")), process.open_files(), resident_kib / 1024
    )


def keys_left(client: redis.Redis, namespace: str) -> list[str]:
    """Keys of the namespace that no lane keeps."""
    keys = [key.decode() for key in client.scan_iter(match=f"*{namespace}*", count=1000)]
    return sorted(key for key in keys if not key.endswith(tuple(f"}}:{name}" for name in _LASTING)))


def ledger_faults(system: System) -> list[str]:
    """What is wrong with the dispatch stream of a system without calls."""
    faults: list[str] = []
    live = {worker.worker_id() for worker in system.workers if worker.is_running}
    for key in system.redis.scan_iter(match=f"{{{system.namespace}:*}}:calls"):
        name = key.decode()
        if entries := system.redis.xlen(key):
            faults.append(f"{name} has {entries} entries")
        for group in system.redis.xinfo_groups(key):
            if pending := group["pending"]:
                faults.append(f"{name} has {pending} pending entries")
            # Up to Redis 7.0, who waits and was handed nothing yet is not known.
            known = system.redis.xinfo_consumers(key, group["name"])
            if dead := {each["name"].decode() for each in known} - live:
                faults.append(f"{name} knows workers that are dead: {', '.join(sorted(dead))}")
    return faults
