"""`trunkline up` as a user starts it, and what is left of it afterwards; Linux only.

Rule 1: nothing here waits for a time, always for a condition, with a deadline.
Rule 2: processes are found by descent from ours, never by name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["Up", "is_ready", "started", "wait_until"]

_SCRIPT = Path(sys.executable).with_name("trunkline")


class _Process(NamedTuple):
    pid: int
    parent: int
    command: str


class Up:
    """One `trunkline up`. `terminal` is our end of its terminal, where it has one."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, terminal: int) -> None:
        self._process = process
        self._output = output
        self._terminal = terminal
        self._seen: dict[int, str] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        with contextlib.suppress(OSError):  # EIO: the last process has let go of the terminal
            while self._terminal >= 0 and (chunk := os.read(self._terminal, 65_536)):
                with self._output.open("ab") as file:
                    file.write(chunk)
        return self._output.read_text()

    def has_said(self, text: str) -> bool:
        return text in self.output

    def press_ctrl_c(self) -> None:
        os.write(self._terminal, b"\x03")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait_until_ready(self) -> None:
        wait_until(lambda: "Ctrl-C drains." in self.output or self._process.poll() is not None)
        assert "Ctrl-C drains." in self.output
        self.children("")

    def children(self, word: str) -> list[int]:
        """The processes that descend from it and have `word` on their command line."""
        family = {self.pid}
        found: list[_Process] = []
        unrelated = list(_processes())
        while born := [process for process in unrelated if process.parent in family]:
            found += born
            family.update(process.pid for process in born)
            unrelated = [process for process in unrelated if process.pid not in family]
        self._seen.update({process.pid: process.command for process in found})
        return sorted(process.pid for process in found if word in process.command)

    def child(self, word: str) -> int:
        (pid,) = self.children(word)
        return pid

    @property
    def directory(self) -> Path:
        """Where it keeps its sockets and logs."""
        return Path(f"/proc/{self.child('redis-server')}/cwd").readlink()

    def has_replaced(self, pid: int, word: str) -> bool:
        pids = self.children(word)
        return bool(pids) and pid not in pids

    def exit_code(self, *, within_s: float) -> int:
        """Also asserts that every process it ever had is gone by then."""
        deadline = time.monotonic() + within_s
        wait_until(lambda: self._process.poll() is not None, within_s=within_s)
        remaining_s = max(deadline - time.monotonic(), 0.5)
        wait_until(lambda: not self.survivors(), within_s=remaining_s)
        return int(self._process.returncode)

    def survivors(self) -> list[int]:
        """Of all processes that were seen; a number that was given to another one is not it."""
        alive = {process.pid: process.command for process in _processes()}
        return [pid for pid, command in self._seen.items() if alive.get(pid) == command]

    def destroy(self) -> None:
        self.children("")
        self._process.terminate()  # an orderly end also removes its files
        try:
            self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in self.survivors():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def started(
    directory: Path,
    *arguments: str,
    in_terminal: bool = False,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Up]:
    """`directory` is its working directory. What the context leaves behind is killed."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name != "REDIS_URL" and not name.startswith("TRUNKLINE_")
    }
    output = directory / "output"
    with contextlib.ExitStack() as stack:
        terminal, theirs = -1, -1
        if in_terminal:
            terminal, theirs = os.openpty()
            os.set_blocking(terminal, False)
            stack.callback(os.close, terminal)
        with output.open("ab") as file:
            process = subprocess.Popen(
                [_SCRIPT, "up", *arguments],
                cwd=directory,
                env={**ours, **environ},
                stdin=None if in_terminal else subprocess.DEVNULL,
                stdout=None if in_terminal else file,
                stderr=None if in_terminal else subprocess.STDOUT,
                # Makes it the session leader of the terminal, so that Ctrl-C reaches it.
                preexec_fn=(lambda: os.login_tty(theirs)) if in_terminal else None,
            )
        if in_terminal:
            os.close(theirs)
        up = Up(process, output, terminal)
        stack.callback(up.destroy)
        yield up


def wait_until(condition: Callable[[], object], *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.02)


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _processes() -> Iterator[_Process]:
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in parentheses, may contain anything, parentheses too.
            _, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it ended while we looked
            continue
        if command:  # a zombie has none
            yield _Process(int(directory.name), int(parent), command)
