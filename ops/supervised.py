"""supervisord as a child of ours: start it, ask it how its processes are, end it.

Rule 1: what starts, restarts and stops a process is supervisor; nothing here does.
Rule 2: that a process runs does not mean that it works; those that do say so (`common.notify`).
Rule 3: supervisord and its children live in a session of their own, so that a Ctrl-C in the
        terminal reaches only us. They are told apart from strangers by that session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections import defaultdict
from collections.abc import Mapping, Set
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from supervisor.xmlrpc import SupervisorTransport

from ops.logs import last_line
from ops.notices import Notices

__all__ = ["Process", "Supervised"]

_HERE = Path(__file__).parent
# Python's own poll() goes on after a signal, so supervisord may look up as late as after 1 s;
# a request on its socket wakes it at once.
_WAKE_INTERVAL_S = 0.05


class Process(NamedTuple):
    """`name` is as supervisor writes it, such as edge:0; `state` one of its ProcessStates."""

    name: str
    state: str
    pid: int
    #: It has said that it does its work; nobody asks Redis to.
    is_ready: bool
    #: How often we saw it begin.
    starts: int


class Supervised:
    """A running supervisord. Its processes' output goes to file descriptor `output`."""

    def __init__(self, directory: Path, environ: Mapping[str, str], *, output: int) -> None:
        self.directory = directory
        self._pids: dict[str, set[int]] = defaultdict(set)
        self._notices = Notices(directory / "notify.sock")
        # -P: a file of the user's, in whose directory we are, must not pass for one of ours.
        module = [sys.executable, "-P", "-m", "supervisor.supervisord"]
        arguments = ["-n", "-c", str(_HERE / "supervisord.conf")]
        with (directory / "supervisord.err").open("wb") as errors:
            self._child = subprocess.Popen(
                [sys.executable, "-IS", str(_HERE / "tether.py"), *module, *arguments],
                env={**environ, "NOTIFY_SOCKET": str(directory / "notify.sock")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        # A pipe between supervisord and our output, because it opens /dev/stdout by name: that
        # fails on a socket, and writes over our own lines in a file.
        assert self._child.stdout is not None
        self._pump = threading.Thread(
            target=_copy, args=(self._child.stdout.fileno(), output), daemon=True
        )
        self._pump.start()

    @property
    def is_alive(self) -> bool:
        return self._child.poll() is None

    def processes(self) -> list[Process]:
        """All programs' processes; none while supervisord does not answer."""
        transport = SupervisorTransport(serverurl=f"unix://{self.directory / 'supervisor.sock'}")
        try:
            # The address is not used: the transport knows the socket.
            server = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            answer = server.supervisor.getAllProcessInfo()
        except (OSError, HTTPException, xmlrpc.client.Error):
            return []
        finally:
            transport.close()
        assert isinstance(answer, list)
        ready = self._notices.ready()
        return [self._process(info, ready) for info in answer]

    def stop(self) -> None:
        """Stop all processes, in order, and return when they and supervisord are gone."""
        if self.is_alive:
            self._child.send_signal(signal.SIGTERM)
        while self.is_alive:
            self.processes()
            time.sleep(_WAKE_INTERVAL_S)
        self._close()

    def kill(self) -> None:
        """End everything now. Also sweeps up after a supervisord that was killed."""
        self._child.kill()
        for pid in set().union(*self._pids.values()):
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) == self._child.pid:
                    os.kill(pid, signal.SIGKILL)
        self._close()

    def complaint(self) -> str:
        """What supervisord said last, for when it does not run."""
        errors = self.directory / "supervisord.err"
        return last_line(errors if errors.stat().st_size else self.directory / "supervisord.log")

    def _process(self, info: Mapping[str, object], ready: Set[int]) -> Process:
        group, name = str(info["group"]), str(info["name"])
        name = name if group == name else f"{group}:{name}"
        pid = int(str(info["pid"]))
        if pid:
            self._pids[name].add(pid)
        return Process(
            name=name,
            state=str(info["statename"]),
            pid=pid,
            is_ready=pid in ready,
            starts=len(self._pids[name]),
        )

    def _close(self) -> None:
        self._child.wait()
        self._notices.close()
        self._pump.join(timeout=1)  # the pipe ends with the last process that holds it
        if self._child.stdout is not None and not self._pump.is_alive():
            self._child.stdout.close()


def _copy(source: int, target: int) -> None:
    """Copy until the end. An output that is gone must not hold up the processes: read on."""
    gone = False
    while chunk := os.read(source, 65_536):
        while chunk and not gone:
            try:
                chunk = chunk[os.write(target, chunk) :]
            except OSError:
                gone = True
