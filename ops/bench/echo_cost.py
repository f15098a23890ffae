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
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ops import redis_server

__all__ = ["main"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_START_TIMEOUT_S = 10.0


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
    port = _free_port()
    with _running(["ops.bench.bare_echo", str(port)], {}) as pid:
        _wait_for(f"http://127.0.0.1:{port}/", {200, 404})
        yield System(port, {"echo": pid})


@contextlib.contextmanager
def _trunkline() -> Iterator[System]:
    port = _free_port()
    with (
        redis_server.fresh_directory() as directory,
        redis_server.running(redis_server.find_binary(), directory=directory) as url,
    ):
        environ = {"REDIS_URL": url, "TRUNKLINE_PORT": str(port), "TRUNKLINE_LOG_LEVEL": "WARNING"}
        with _running(["edge"], environ) as edge, _running(["workers"], environ) as worker:
            _wait_for(f"http://127.0.0.1:{port}/readyz", {200})
            yield System(port, {"edge": edge, "redis": _redis_pid(url), "worker": worker})


@contextlib.contextmanager
def _running(module: list[str], environ: dict[str, str]) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-m", *module], env={**os.environ, **environ})
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _redis_pid(url: str) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(url.removeprefix("unix://"))
        client.sendall(b"INFO server\r\n")
        answer = client.recv(65_536).decode()
    return int(answer.partition("process_id:")[2].split()[0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, statuses: set[int]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
        if status in statuses:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} did not answer {statuses}")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
