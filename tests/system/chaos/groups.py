"""The callers' processes as the stage sees them: place, tell, wait for, read what they wrote."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from tests.system.chaos.callers import Spec
from tests.system.chaos.ledger import Kind, Records, read
from tests.system.processes import ROOT, environment, wait_until

__all__ = ["Groups"]


class Groups:
    """Each `place` is a process of its own; all write into one ledger."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def ledger(self) -> Path:
        return self._directory / "ledger"

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def place(self, spec: Spec) -> None:
        command = [sys.executable, "-m", "tests.system.chaos.callers"]
        with (self._directory / "callers.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*command, msgspec.json.encode(spec).decode()],
                    cwd=ROOT,
                    env=environment(),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    def tell(self, command: str, *, group: int | None = None) -> None:
        """All callers, or those of the n-th `place`; see `tests.system.chaos.callers`."""
        for process in self._processes if group is None else [self._processes[group]]:
            assert process.stdin is not None
            if not process.stdin.closed:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(f"{command}\n".encode())
                    process.stdin.flush()

    def records(self) -> Records:
        return read(self.ledger)

    def wait_until_heard(self, frames: int, *, calls: int, within_s: float) -> None:
        """So many frames more, on so many calls."""
        before = len(self.records())

        def have_heard() -> bool:
            new = read(self.ledger, after=before)
            _, counts = np.unique(new["caller"][new["kind"] == Kind.HEARD], return_counts=True)
            return int((counts >= frames).sum()) >= calls

        # Not more often: what the looking costs, the calls lack.
        wait_until(have_heard, within_s=within_s, every_s=0.1)

    def wait(self, *, within_s: float) -> list[str]:
        """What went wrong with those that had to end by then; they are ended anyhow."""
        deadline = time.monotonic() + within_s
        faults: list[str] = []
        for process in self._processes:
            try:
                code = process.wait(max(0.1, deadline - time.monotonic()))
                faults += [f"the callers ended with {code}"] if code else []
            except subprocess.TimeoutExpired:
                faults.append("the callers did not end")
        self.end()
        return faults

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
