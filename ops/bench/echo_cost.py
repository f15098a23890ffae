"""What a call costs: CPU of edge, Redis and worker together, beside a bare echo, and the delay.

Both systems get the same load from the phone, one after the other, in rounds that alternate, on
one machine; figures are medians over the rounds. CPU is what the kernel accounts to the processes
between the start and the end of the load. Linux only.

Usage: python -m ops.bench.echo_cost [--calls 50] [--seconds 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ops import redis_server
from ops.bench.processes import answers, free_port, running, trunkline, wait_for

__all__ = ["main"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class System(NamedTuple):
    """`processes`: name -> pid, of all that take part in a call."""

    port: int
    processes: dict[str, int]


class Round(NamedTuple):
    cpu_ms: dict[str, float]  # per call and second, by process
    report: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m ops.bench.echo_cost")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with _bare_echo() as bare, _trunkline() as trunkline:
        rounds = [
            (_round(bare, args.calls, args.seconds), _round(trunkline, args.calls, args.seconds))
            for _ in range(args.rounds)
        ]
    _print([pair[0] for pair in rounds], "bare echo")
    _print([pair[1] for pair in rounds], "trunkline")
    ratios = [sum(t.cpu_ms.values()) / sum(b.cpu_ms.values()) for b, t in rounds]
    print(f"trunkline / bare echo: {statistics.median(ratios):.2f} times the CPU")


def _round(system: System, calls: int, seconds: float) -> Round:
    before = {name: _cpu_s(pid) for name, pid in system.processes.items()}
    url = f"ws://127.0.0.1:{system.port}/media/twilio"
    command = ["call", "twilio", "--url", url, "--calls", str(calls), "--seconds", str(seconds)]
    phone = subprocess.run(
        [sys.executable, "-m", "ops.cli", *command, "--json"], stdout=subprocess.PIPE, check=False
    )
    spent = {name: _cpu_s(pid) - before[name] for name, pid in system.processes.items()}
    per_call = {name: cpu_s * 1000 / (calls * seconds) for name, cpu_s in spent.items()}
    return Round(per_call, json.loads(phone.stdout)["total"])


def _print(rounds: list[Round], name: str) -> None:
    def median(values: Iterator[float]) -> float:
        return statistics.median(values)

    cpu = {key: median(r.cpu_ms[key] for r in rounds) for key in rounds[0].cpu_ms}
    shares = ", ".join(f"{key} {value:.2f}" for key, value in cpu.items())
    trips = [r.report["round_trip_ms"] for r in rounds]
    delays = " ".join(f"{p} {median(t[p] for t in trips):.1f}" for p in ("p50", "p95", "p99"))
    lost = sum(r.report["frames_lost"] for r in rounds)
    print(f"{name}: {sum(cpu.values()):.2f} ms of CPU per call and second ({shares}); ", end="")
    print(f"round trip ms {delays}; frames lost {lost}")


def _cpu_s(pid: int) -> float:
    """User and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@contextlib.contextmanager
def _bare_echo() -> Iterator[System]:
    port = free_port()
    with running(["ops.bench.bare_echo", str(port)], {}) as pid:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/", {200, 404}))
        yield System(port, {"echo": pid})


@contextlib.contextmanager
def _trunkline() -> Iterator[System]:
    port = free_port()
    environ = {"TRUNKLINE_PORT": str(port), "TRUNKLINE_LOG_LEVEL": "WARNING"}
    with redis_server.fresh_directory() as directory, trunkline(directory, environ) as pids:
        yield System(port, pids)


if __name__ == "__main__":
    main()
