"""The system as its users run it: real processes over a real Redis, and a phone to call it.

Rule 1: nothing here waits for a time, always for a condition, with a deadline.
Rule 2: what was started is ended by its process id, whatever happened in between.
Rule 3: a deadline ends what would wait for ever, and is generous; a time that is promised is held
        against the clock by `wait_as_promised`, which leaves out what the machine took.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import redis

from ops.phone.report import CallReport, Report
from tests.ports import HOST, free_port
from tests.waiting import Starvation

__all__ = [
    "SPEECH",
    "Phone",
    "Process",
    "System",
    "environment",
    "running",
    "wait_as_promised",
    "wait_until",
]

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "tests" / "fixtures" / "speech.wav"

_START_S = 60.0
_DEADLINE_S = 30.0
_PHONE_S = 60.0
_HTTP_S = 10.0
_BUSY = (
    "WARNING .*(this process stood still|Redis does not answer: time-out"
    "|a handler blocks the process and all its calls)"
)

T = TypeVar("T")


def wait_until(look: Callable[[], T], *, within_s: float = _DEADLINE_S, every_s: float = 0.01) -> T:
    """What `look` saw once it saw something true; AssertionError when it never did."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s, but {seen!r}"
        time.sleep(every_s)
    return seen


def wait_as_promised(look: Callable[[], object], *processes: Process, within_s: float) -> None:
    """As `wait_until`; AssertionError also when it came true too late, and not because these
    processes or we waited for a processor."""
    starvation, began = Starvation(*(process.pid for process in processes)), time.monotonic()
    wait_until(look)
    took_s = time.monotonic() - began - starvation.seconds
    assert took_s <= within_s, f"after {took_s:.2f} s of their own, not {within_s:g}"


def environment(**settings: str) -> dict[str, str]:
    """Ours, without what it may say about Trunkline."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRUNKLINE_") and name != "REDIS_URL"
    }
    return {**inherited, **settings}


class Process:
    """An edge or a worker. `http` is where its metrics are."""

    def __init__(
        self, module: str, settings: dict[str, str], directory: Path, *, http: int
    ) -> None:
        self.name = f"{module}-{http}"
        self._http = f"http://{HOST}:{http}"
        self._log = directory / f"{self.name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=directory,
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def complaints(self) -> list[str]:
        """What it logged that somebody should look at, but that the machine is too busy."""
        serious, busy = re.compile("WARNING|ERROR|Traceback"), re.compile(_BUSY)
        lines = self.log.splitlines()
        return [line for line in lines if serious.search(line) and not busy.search(line)]

    def status(self, path: str) -> int:
        """0 when nobody answers."""
        try:
            with urllib.request.urlopen(self._http + path, timeout=_HTTP_S) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that bear these labels."""
        with urllib.request.urlopen(self._http + "/metrics", timeout=_HTTP_S) as response:
            lines = response.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if re.match(rf"{name}[{{ ]", line) and all(label in line for label in wanted)
        )

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def wait_until_up(self, path: str) -> None:
        def is_up() -> bool:
            assert self._process.poll() is None, f"{self.name} ended at once:\n{self.log}"
            return self.status(path) == 200

        wait_until(is_up, within_s=_START_S)

    def worker_id(self) -> str:
        """The name by which Redis knows this worker: the first part of its tokens."""

        def told() -> str:
            found = re.search(r"taking calls.* worker=(\S+)", self.log)
            return found[1] if found else ""

        return wait_until(told)

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def exit_code(self, *, within_s: float = _DEADLINE_S) -> int:
        return self._process.wait(within_s)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        print(f"--- {self.name}\n{self.log}")  # shown when the test has failed


class Phone:
    """One `trunkline call`."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "call", *arguments, "--json"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def report(self, *, exits: int = 0, within_s: float = _PHONE_S) -> Report:
        output, errors = self._process.communicate(timeout=within_s)
        assert self._process.returncode == exits, output + errors
        return msgspec.json.decode(output, type=Report)

    def call(self, *, exits: int = 0, within_s: float = _PHONE_S) -> CallReport:
        """The report on its only call."""
        (call,) = self.report(exits=exits, within_s=within_s).calls
        return call

    def error(self, *, exits: int, within_s: float = _PHONE_S) -> str:
        """What it says when it could not call at all."""
        output, errors = self._process.communicate(timeout=within_s)
        assert self._process.returncode == exits, output + errors
        assert not output
        return errors

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class System:
    """Edges and workers that share one namespace of one Redis; the first edge is called."""

    def __init__(self, redis_url: str, directory: Path) -> None:
        self.namespace = f"test-{uuid.uuid4().hex}"
        self.directory = directory
        self.redis = redis.Redis.from_url(redis_url)
        self.edges: list[Process] = []
        self.workers: list[Process] = []
        self.ports: list[int] = []
        self._phones: list[Phone] = []
        self._shared = {"REDIS_URL": redis_url, "TRUNKLINE_NAMESPACE": self.namespace}

    def start(
        self,
        *,
        workers: int = 1,
        edge: dict[str, str] | None = None,
        worker: dict[str, str] | None = None,
    ) -> System:
        """One edge and so many workers with these settings; returns when they take calls."""
        self.start_edge(**(edge or {}))
        for _ in range(workers):
            self.start_worker(**(worker or {}))
        for each in self.workers:
            each.wait_until_up("/metrics")
        self.edge.wait_until_up("/readyz")
        self.wait_until_taking(workers)
        return self

    def wait_until_taking(self, workers: int) -> None:
        wait_until(lambda: self._waiting_workers() >= workers)

    def start_edge(self, **settings: str) -> Process:
        port = free_port()
        settings = {**self._shared, "TRUNKLINE_PORT": str(port), **settings}
        self.ports.append(port)
        self.edges.append(Process("edge", settings, self.directory, http=port))
        return self.edges[-1]

    def restart_edge(self, number: int, **settings: str) -> Process:
        """On the port of the n-th, which has ended, and in its place."""
        port = self.ports[number]
        settings = {**self._shared, "TRUNKLINE_PORT": str(port), **settings}
        self.edges[number] = Process("edge", settings, self.directory, http=port)
        return self.edges[number]

    def start_worker(self, **settings: str) -> Process:
        port = free_port()
        settings = {**self._shared, "TRUNKLINE_METRICS_PORT": str(port), **settings}
        url = settings["REDIS_URL"]
        settings["REDIS_URL"] = f"{url}{'&' if '?' in url else '?'}client_name={self.namespace}"
        self.workers.append(Process("workers", settings, self.directory, http=port))
        return self.workers[-1]

    @property
    def edge(self) -> Process:
        return self.edges[0]

    @property
    def worker(self) -> Process:
        return self.workers[0]

    @property
    def host(self) -> str:
        return f"{HOST}:{self.ports[0]}"

    def phone(self, provider: str, *arguments: str) -> Phone:
        url = f"ws://{self.host}/media/PROVIDER"
        self._phones.append(Phone(provider, "--url", url, *arguments))
        return self._phones[-1]

    def live_calls(self) -> int:
        return int(self.edge.metric("trunkline_edge_calls"))

    def wait_until_live(self, calls: int) -> None:
        wait_until(lambda: self.live_calls() == calls)

    def keys_of_calls(self) -> list[bytes]:
        """The keys that must not outlive their calls."""
        keys = list(self.redis.scan_iter(match=f"{{{self.namespace}:*", count=1000))
        return [
            key for key in keys if not key.endswith((b":calls", b":edges", b":ended", b":workers"))
        ]

    def unfinished(self) -> int:
        """Entries of the dispatch stream."""
        return int(self.redis.xlen(f"{{{self.namespace}:0}}:calls"))

    def wait_until_no_call_is_left(self, *, within_s: float = _DEADLINE_S) -> None:
        wait_until(lambda: not self.keys_of_calls() and not self.unfinished(), within_s=within_s)

    def complaints(self) -> list[str]:
        return [line for process in self._processes() for line in process.complaints()]

    def close(self) -> None:
        for phone in self._phones:
            phone.end()
        for process in self._processes():
            process.end()
        self.redis.close()

    def waits_for_a_call(self, client: dict[str, str]) -> bool:
        """Whether this is a worker of ours that does; others may work at the same Redis."""
        return client["cmd"] == "xreadgroup" and client["name"] == self.namespace

    def _processes(self) -> list[Process]:
        return [*self.edges, *self.workers]

    def _waiting_workers(self) -> int:
        """Workers that wait for a call: blocked in the read that would bring them one."""
        return sum(map(self.waits_for_a_call, self.redis.client_list()))


@contextlib.contextmanager
def running(redis_url: str, directory: Path) -> Iterator[System]:
    """A system without processes yet; whatever is started in it is ended."""
    system = System(redis_url, directory)
    try:
        yield system
    finally:
        system.close()
