"""What `trunkline up` will run, decided and checked before anything is started.

Rule 1: whatever can be found wrong beforehand is found here, and said once.
Rule 2: the environment of the plan is complete: it holds every variable that
        `ops/supervisord.conf` asks for, and every process of the system runs in it.
"""

from __future__ import annotations

import errno
import math
import socket
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from common.errors import UsageError
from common.settings import load, load_all
from edge.configuration import configure
from edge.settings import EdgeSettings
from ops import redis_facts, redis_server
from ops.redis_server import RedisBinary
from workers.agent_loader import load_agent
from workers.settings import WorkerSettings

__all__ = ["Plan", "load_settings", "make_plan"]

_DRAIN_TIMEOUT_S = "2"  # somebody waits at the terminal; the default is for deployments
# After the calls are drained: the last events are flushed, connections closed.
_STOP_MARGIN_S = 3
_METRICS_PORT = "TRUNKLINE_METRICS_PORT"


class Plan(NamedTuple):
    """Everything that is decided before anything starts."""

    edges: int
    workers: int
    settings: EdgeSettings
    agent: str
    redis: str
    environ: Mapping[str, str]

    def port(self, index: int) -> int:
        return self.settings.port + index

    @property
    def host(self) -> str:
        """Where this machine reaches the edges."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        return anywhere.get(self.settings.host, self.settings.host)

    def address(self, index: int) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port(index)}"


def make_plan(environ: Mapping[str, str], directory: Path, *, edges: int, workers: int) -> Plan:
    """Raises UsageError, or SettingsError for all settings that will not do. A private Redis
    would live in `directory`."""
    if edges < 1 or workers < 0:
        raise UsageError("at least one edge is needed, and workers cannot be negative")
    environ = dict(environ)
    environ["TRUNKLINE_DRAIN_TIMEOUT_S"] = (
        environ.get("TRUNKLINE_DRAIN_TIMEOUT_S", "").strip() or _DRAIN_TIMEOUT_S
    )
    binary = None if environ.get("REDIS_URL", "").strip() else redis_server.find_binary()
    if binary is not None:
        environ["REDIS_URL"] = redis_server.url_of(directory)
    edge, worker = load_settings(environ)
    load_agent(worker.agent)
    _check_ports(edge.host, edge.port, edges, setting="--port")
    if worker.metrics_port:
        _check_metrics_ports(worker.metrics_port, workers, edge, edges)
    stop_wait_s = math.ceil(edge.drain_timeout_s) + _STOP_MARGIN_S
    environ |= {
        "PYTHONUNBUFFERED": "1",
        "TRUNKLINE_EDGES": str(edges),
        "TRUNKLINE_WORKERS": str(workers),
        "TRUNKLINE_PYTHON": sys.executable,
        "TRUNKLINE_RUN_DIR": str(directory),
        "TRUNKLINE_STOP_WAIT_S": str(stop_wait_s),
        "TRUNKLINE_REDIS": "0" if binary is None else "1",
        "TRUNKLINE_REDIS_SERVER": "" if binary is None else str(binary.path),
    }
    return Plan(
        edges=edges,
        workers=workers,
        settings=edge,
        agent=worker.agent,
        redis=_describe_redis(binary, edge.redis_url),
        environ=environ,
    )


def load_settings(environ: Mapping[str, str]) -> tuple[EdgeSettings, WorkerSettings]:
    """The settings of both kinds of process; what is wrong with both is said once."""
    loaded = load_all(
        {
            "edge": partial(configure, environ),
            "worker": partial(load, WorkerSettings, environ),
        }
    )
    return loaded["edge"].settings, loaded["worker"]


def _check_metrics_ports(first: int, workers: int, edge: EdgeSettings, edges: int) -> None:
    _check_ports("127.0.0.1", first, workers, setting=_METRICS_PORT)
    if both := range(max(first, edge.port), min(first + workers, edge.port + edges)):
        raise UsageError(f"port {both[0]} is an edge's; choose another with {_METRICS_PORT}")


def _check_ports(host: str, first: int, count: int, *, setting: str) -> None:
    """`setting` is what chooses them."""
    for port in range(first, first + count):
        if port > 65_535:
            raise UsageError(f"there is no port {port}; choose a lower one with {setting}")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen()
            except PermissionError:
                raise UsageError(
                    f"port {port} is for root; choose another with {setting}"
                ) from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise UsageError(f"cannot listen on {host}:{port}: {error}") from error
                message = f"port {port} is in use; choose another with {setting}"
                raise UsageError(message) from None


def _describe_redis(binary: RedisBinary | None, url: str) -> str:
    if binary is not None:
        return f"Redis {binary.version}, {binary.origin}, at {url}"
    return str(redis_facts.ask(url))
