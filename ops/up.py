"""`trunkline up`: the whole system on this machine, until Ctrl-C.

Rule 1: supervisor runs the processes; this file tells when the system takes calls, and ends it.
Rule 2: the first signal asks for an orderly end, the second does not wait for it. Whatever
        happens, nothing is left running.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import shutil
import signal
import sys
import time
from collections.abc import Set
from importlib.metadata import version
from math import inf
from pathlib import Path
from types import FrameType

from common.errors import UsageError
from ops import redis_server
from ops.logs import last_line
from ops.plan import Plan, make_plan
from ops.supervised import Process, Supervised

__all__ = ["add_arguments", "run"]

_READY_TIMEOUT_S = 30.0
_PATIENCE_S = 5.0
_HTTP_TIMEOUT_S = 1.0
_POLL_INTERVAL_S = 0.1
_POLLS_PER_WATCH = 10
_REDIS = "redis"
#: A moment later supervisor tries again.
_NOT_STARTING = frozenset({"FATAL", "BACKOFF", "EXITED"})
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stop:
    """Whether a signal asked for an end."""

    def __init__(self) -> None:
        self.requested = False
        for number in _STOP_SIGNALS:
            # Who started us with nohup wants us to outlive the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            for each in _STOP_SIGNALS:
                signal.signal(each, signal.SIG_IGN)  # killing takes a moment; let it finish
            raise KeyboardInterrupt
        self.requested = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    def option(name: str, what: str, **more: object) -> None:
        parser.add_argument(name, help=what, **more)  # type: ignore[arg-type]

    option("--edges", "edges to run, each on a port of its own (1)", type=int, default=1)
    option("--workers", "workers to run (1)", type=int, default=1)
    option("--port", "port of the first edge (TRUNKLINE_PORT, or 8080)", metavar="PORT")
    option("--agent", "built-in agent, or module:Class (TRUNKLINE_AGENT, or echo)", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    environ = dict(os.environ)
    for name, value in {"TRUNKLINE_PORT": args.port, "TRUNKLINE_AGENT": args.agent}.items():
        if value:
            environ[name] = value
    with redis_server.fresh_directory() as directory:
        plan = make_plan(environ, directory, edges=args.edges, workers=args.workers)
        failure = _supervise(plan, directory, _Stop())
        if failure:
            raise UsageError(failure)
    return 0


def _supervise(plan: Plan, directory: Path, stop: _Stop) -> str:
    """Run until a stop is requested; the reason, if it ended for another one."""
    supervised = Supervised(directory, plan.environ, output=sys.stdout.fileno())
    try:
        failure = _wait_until_ready(plan, supervised, stop)
        if not failure and not stop.requested:
            _say(_banner(plan))
            failure = _watch(supervised, stop)
        if stop.requested:
            drain_s = plan.settings.drain_timeout_s
            _say(f"\nDraining: calls get {drain_s:g} s to end. Ctrl-C again ends at once.\n")
        supervised.stop()
    finally:
        supervised.kill()
    return failure


def _say(text: str) -> None:
    """Past every buffer: the processes share this output. It may be a terminal that is gone."""
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), text.encode())


def _wait_until_ready(plan: Plan, supervised: Supervised, stop: _Stop) -> str:
    """Returns why the system cannot take calls, or nothing. An agent may prepare for as long as it
    likes; a process that ends while we wait does not start."""
    began = time.monotonic()
    is_patient = True
    while not stop.requested:
        processes = supervised.processes()
        if failure := _failure(processes, supervised, _NOT_STARTING, max_starts=1):
            return failure
        answers = [_readiness(plan.host, plan.port(index)) for index in range(plan.edges)]
        answer = next(filter(None, answers), "")
        slow = [process.name for process in processes if not _works(process)]
        if processes and not slow and not answer:
            return ""
        waited_s = time.monotonic() - began
        if waited_s > _READY_TIMEOUT_S and (answer or not processes):
            return f"not ready after {_READY_TIMEOUT_S:g} s: {answer or 'supervisor is silent'}"
        if waited_s > _PATIENCE_S and slow and is_patient:
            is_patient = False
            _say(f"{', '.join(slow)}: not ready yet; waiting\n")
        time.sleep(_POLL_INTERVAL_S)
    return ""


def _works(process: Process) -> bool:
    return process.is_ready or process.name == _REDIS  # of which the edges tell


def _watch(supervised: Supervised, stop: _Stop) -> str:
    """Returns why the system cannot go on, or nothing once a stop is requested."""
    starts: dict[str, int] = {}
    while True:
        processes = supervised.processes()
        # A process that ends is started again; FATAL is one that supervisor has given up.
        if failure := _failure(processes, supervised, {"FATAL"}):
            return failure
        for process in processes:
            if process.starts > starts.setdefault(process.name, process.starts):
                starts[process.name] = process.starts
                _say(f"{process.name} ended; started again as process {process.pid}\n")
        for _ in range(_POLLS_PER_WATCH):
            if stop.requested:
                return ""
            time.sleep(_POLL_INTERVAL_S)


def _failure(
    processes: list[Process], supervised: Supervised, fatal: Set[str], *, max_starts: float = inf
) -> str:
    if not supervised.is_alive:
        return f"supervisor ended unexpectedly: {supervised.complaint()}"
    for process in processes:
        if process.state in fatal or process.starts > max_starts:
            # The others say why on the terminal.
            reason = "its reason is above"
            if process.name == _REDIS:
                reason = last_line(supervised.directory / "redis.log")
            return f"{process.name} does not start: {reason}"
    return ""


def _readiness(host: str, port: int) -> str:
    """Nothing when an edge is ready, else what it says, or that it says nothing."""
    connection = http.client.HTTPConnection(host, port, timeout=_HTTP_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(200).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"the edge on port {port} does not answer ({error})"
    finally:
        connection.close()
    return "" if response.status == 200 else f"the edge on port {port} says: {body}"


def _banner(plan: Plan) -> str:
    edges = "1 edge" if plan.edges == 1 else f"{plan.edges} edges"
    workers = "1 worker" if plan.workers == 1 else f"{plan.workers} workers"
    calls = [f"ws://{plan.address(index)}/media/{{provider}}" for index in range(plan.edges)]
    url = "" if plan.port(0) == 8080 else f" --url {calls[0].format(provider='twilio')}"
    lines = [
        "",
        f"Trunkline {version('trunkline')} is up: {edges}, {workers}, agent {plan.agent}",
        f"  redis   {plan.redis}",
        *(f"  calls   {call}" for call in calls),
        f"  state   http://{plan.address(0)}/readyz, also /healthz and /metrics",
        f"  try     {_own_command()} call twilio{url} --seconds 5   (in a second shell)",
        "Ctrl-C drains.",
        "",
    ]
    return "\n".join(lines)


def _own_command() -> str:
    """How the user's shell finds `trunkline`: by name, or by path out of a virtual environment."""
    script = Path(sys.executable).with_name("trunkline")
    found = shutil.which("trunkline")
    if not script.exists() or (found and Path(found).samefile(script)):
        return "trunkline"
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)
