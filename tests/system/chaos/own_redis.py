"""A Redis of the run's own, to be killed, stopped and started again as the faults have it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import redis

from ops import redis_server

__all__ = ["Options", "OwnRedis"]

_START_S = 15.0


class Options(NamedTuple):
    """`aof`: what is written is there again after a restart. `port`: also listen on TCP.
    `wrapper`: goes before the command line. `data`: where the files are; None: the directory of
    the socket."""

    aof: bool = False
    port: int = 0
    wrapper: tuple[str, ...] = ()
    data: Path | None = None
    environ: tuple[tuple[str, str], ...] = ()


class OwnRedis:
    def __init__(self, directory: Path, options: Options) -> None:
        self._directory = directory
        self._options = options
        self._binary = redis_server.find_binary()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = redis_server.url_of(directory)
        self.start()

    @property
    def description(self) -> str:
        return f"Redis {self._binary.version} ({self._binary.origin})"

    @property
    def pid(self) -> int:
        assert self._process is not None
        if not self._options.wrapper:
            return self._process.pid
        with redis.Redis.from_url(self.url) as client:
            return int(client.info("server")["process_id"])

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
                [*options.wrapper, *command],
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
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        pids = {self._process.pid}
        if self._options.wrapper and self._answers():
            pids.add(self.pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        """Whether it serves: a server that still reads its file answers PING with LOADING."""
        return redis_server.answers(self._directory / "redis.sock")
