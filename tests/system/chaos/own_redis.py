"""A Redis of the run's own, to be killed, stopped and started again as the faults have it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from ops import redis_server

__all__ = ["Options", "OwnRedis"]

_START_S = 60.0


class Options(NamedTuple):
    """`aof`: what is written is there again after a restart. `port`: also listen on TCP. `data`:
    where the files are, None: beside the socket. `bundled`: not the one on PATH."""

    aof: bool = False
    port: int = 0
    data: Path | None = None
    bundled: bool = False
    environ: tuple[tuple[str, str], ...] = ()


class OwnRedis:
    def __init__(self, directory: Path, options: Options) -> None:
        self._directory = directory
        self._options = options
        find = redis_server.find_bundled if options.bundled else redis_server.find_binary
        self._binary = find()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = redis_server.url_of(directory)
        self.start()

    @property
    def description(self) -> str:
        return f"Redis {self._binary.version} ({self._binary.origin})"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        options = self._options
        command = redis_server.command(self._binary, self._directory)
        if options.aof:
            command += ["--appendonly", "yes", "--appendfsync", "everysec"]
        if options.port:
            command += ["--port", str(options.port), "--bind", "127.0.0.1"]
        if options.data is not None:
            command += ["--dir", str(options.data)]
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **dict(options.environ)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.005)

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def empty(self) -> None:
        """Remove what a killed server has left on the disk."""
        for path in self._directory.glob("appendonly*"):
            if path.is_dir():
                for file in path.iterdir():
                    file.unlink()
                path.rmdir()
            else:
                path.unlink()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        """Whether it serves: a server that still reads its file answers PING with LOADING."""
        return redis_server.answers(self._directory / "redis.sock")
