"""Hear which processes say that they are ready: the other end of `common.notify`."""

from __future__ import annotations

import re
import socket
from pathlib import Path

__all__ = ["Notices"]

_READY = re.compile(rb"^READY=1$", re.MULTILINE)
_PID = re.compile(rb"^MAINPID=(\d+)$", re.MULTILINE)
_MAX_BYTES = 4096


class Notices:
    """Listens at `path`, which goes into the NOTIFY_SOCKET of those that are to speak."""

    def __init__(self, path: Path) -> None:
        self._ready: set[int] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    def ready(self) -> frozenset[int]:
        """The process ids of all that have said so by now."""
        while notice := self._next():
            if (pid := _PID.search(notice)) and _READY.search(notice):
                self._ready.add(int(pid[1]))
        return frozenset(self._ready)

    def close(self) -> None:
        self._socket.close()

    def _next(self) -> bytes:
        try:
            return self._socket.recv(_MAX_BYTES)
        except BlockingIOError:
            return b""
