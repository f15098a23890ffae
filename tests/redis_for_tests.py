"""Which Redis the tests use: always a real one.

`TRUNKLINE_TEST_REDIS` decides: a URL (its database is emptied before every test), or one of the
words `docker`, `path`, `bundled`. When it is not set: a container where a Docker engine answers
and has or gets the image, else the redis-server on PATH, else the bundled one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple
from urllib.parse import urlsplit

import docker
import pytest
import redis
from docker.errors import DockerException
from requests.exceptions import RequestException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from common.errors import UsageError
from ops import redis_server

__all__ = ["Choice", "choose", "empty"]

_IMAGE = "redis:7"
_PORT = 6379


class Choice(NamedTuple):
    """`run` starts the server, yields its URL and ends it; `is_shared`: it is always the same."""

    description: str
    run: Callable[[], AbstractContextManager[str]]
    is_shared: bool = False


@functools.cache
def choose() -> Choice:
    """Raises pytest.UsageError when the Redis that was asked for cannot be had."""
    wanted = os.environ.get("TRUNKLINE_TEST_REDIS", "").strip()
    if "://" in wanted:
        description = f"{wanted} (TRUNKLINE_TEST_REDIS)"
        return Choice(description, lambda: contextlib.nullcontext(wanted), is_shared=True)
    if wanted and wanted not in _CHOOSERS:
        words = ", ".join(_CHOOSERS)
        raise pytest.UsageError(f"TRUNKLINE_TEST_REDIS: expected a URL or one of {words}")
    reasons: list[str] = []
    for chooser in [_CHOOSERS[wanted]] if wanted else _CHOOSERS.values():
        try:
            return chooser()
        except UsageError as error:
            reasons.append(str(error))
    raise pytest.UsageError(f"no Redis for the tests: {'; '.join(reasons)}")


def empty(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def _choose_docker() -> Choice:
    if not _listens(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"):
        raise UsageError("no Docker engine answers")
    try:
        engine = docker.from_env(timeout=120)
    except DockerException as error:
        raise UsageError(f"no Docker engine answers: {error}") from error
    try:
        version = engine.version()["Version"]
        if not engine.images.list(name=_IMAGE):
            engine.images.pull(_IMAGE)
    except (DockerException, RequestException) as error:
        raise UsageError(f"the Docker engine has no image {_IMAGE}: {error}") from error
    finally:
        engine.close()
    return Choice(f"container {_IMAGE} (testcontainers, Docker {version})", _container)


def _listens(docker_host: str) -> bool:
    """Asked first because the Docker client leaves a socket open, which is a warning and so an
    error, where nothing listens. Engines behind ssh or http+unix are not looked for."""
    url = urlsplit(docker_host)
    unix = url.scheme == "unix"
    try:
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
            probe.settimeout(2.0)
            probe.connect(url.path if unix else (url.hostname or "", url.port or 2375))
    except OSError:
        return False
    return True


def _choose_path() -> Choice:
    return _choice_of(redis_server.find_on_path())


def _choose_bundled() -> Choice:
    return _choice_of(redis_server.find_bundled())


def _choice_of(binary: redis_server.RedisBinary) -> Choice:
    description = f"{binary.version}, {binary.origin}"
    return Choice(description, lambda: redis_server.running(binary))


_CHOOSERS = {"docker": _choose_docker, "path": _choose_path, "bundled": _choose_bundled}


@contextlib.contextmanager
def _container() -> Iterator[str]:
    # The reaper is a second image to pull, for a container that we end ourselves.
    testcontainers_config.ryuk_disabled = True
    with DockerContainer(_IMAGE).with_exposed_ports(_PORT) as container:
        host = container.get_container_host_ip()
        url = f"redis://{host}:{container.get_exposed_port(_PORT)}/0"
        _wait_until_ready(url)
        yield url


def _wait_until_ready(url: str, *, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
