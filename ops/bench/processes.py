"""Systems to measure: started for a benchmark, ended with it."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from ops import redis_server

__all__ = ["answers", "free_port", "running", "trunkline", "wait_for"]

_TIMEOUT_S = 60.0


@contextlib.contextmanager
def trunkline(
    directory: Path, environ: dict[str, str], *, workers: int = 1
) -> Iterator[dict[str, int]]:
    """An edge, so many workers and a Redis; yields their process ids by name once calls are
    taken. `environ` holds TRUNKLINE_PORT."""
    with contextlib.ExitStack() as stack:
        binary = redis_server.find_binary()
        url = stack.enter_context(redis_server.running(binary, directory=directory))
        environ = {**environ, "REDIS_URL": url}
        pids = {"edge": stack.enter_context(running(["edge"], environ)), "redis": _redis_pid(url)}
        for number in range(workers):
            name = f"worker {number}" if workers > 1 else "worker"
            pids[name] = stack.enter_context(running(["workers"], environ))
        wait_for(lambda: answers(f"http://127.0.0.1:{environ['TRUNKLINE_PORT']}/readyz", {200}))
        yield pids


@contextlib.contextmanager
def running(module: list[str], environ: dict[str, str]) -> Iterator[int]:
    """`python -m` this; yields the process id."""
    process = subprocess.Popen([sys.executable, "-m", *module], env={**os.environ, **environ})
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Below those that the kernel gives to clients, which might take it before a server does."""
    while True:
        port = random.randrange(31_700, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def answers(url: str, statuses: set[int]) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status in statuses
    except urllib.error.HTTPError as error:
        with error:
            return error.code in statuses
    except OSError:
        return False


def wait_for(is_so: Callable[[], bool]) -> None:
    """Raises TimeoutError when it never is."""
    deadline = time.monotonic() + _TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {_TIMEOUT_S:g} s")
        time.sleep(0.02)


def _redis_pid(url: str) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(url.removeprefix("unix://"))
        client.sendall(b"INFO server\r\n")
        answer = client.recv(65_536).decode()
    return int(answer.partition("process_id:")[2].split()[0])
