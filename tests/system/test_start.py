"""Processes that cannot start: one message for people, an exit code for machines."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system.processes import environment


def start(module: str, directory: Path, **settings: str) -> tuple[int, str]:
    """How it ended, and what it said."""
    ended = subprocess.run(
        [sys.executable, "-m", module],
        cwd=directory,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in ended.stderr
    assert not ended.stdout
    return ended.returncode, ended.stderr


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        yield port


def test_every_wrong_setting_of_an_edge_is_named_at_once(tmp_path: Path) -> None:
    code, said = start(
        "edge",
        tmp_path,
        TRUNKLINE_PORT="0",
        TRUNKLINE_LEAD_MS="soon",
        TRUNKLINE_LOG_LEVEL="LOUD",
        REDIS_URL="http://127.0.0.1",
    )
    assert code == 2
    first, *faults = said.splitlines()
    assert first == "trunkline edge: 4 settings are wrong:"
    assert sorted(fault.split(":")[0].strip() for fault in faults) == [
        "REDIS_URL",
        "TRUNKLINE_LEAD_MS",
        "TRUNKLINE_LOG_LEVEL",
        "TRUNKLINE_PORT",
    ]


def test_every_wrong_setting_of_a_worker_is_named_at_once(tmp_path: Path) -> None:
    code, said = start(
        "workers", tmp_path, TRUNKLINE_WORKER_CALLS="-1", TRUNKLINE_NAMESPACE="{tag}"
    )
    assert code == 2
    first, *faults = said.splitlines()
    assert first == "trunkline worker: 2 settings are wrong:"
    assert sorted(fault.split(":")[0].strip() for fault in faults) == [
        "TRUNKLINE_NAMESPACE",
        "TRUNKLINE_WORKER_CALLS",
    ]


def test_a_port_in_use(tmp_path: Path, taken_port: int, redis_server_url: str) -> None:
    code, said = start("edge", tmp_path, TRUNKLINE_PORT=str(taken_port), REDIS_URL=redis_server_url)
    assert code == 1
    assert (
        f"trunkline edge: cannot listen on 127.0.0.1:{taken_port}: Address already in use" in said
    )


def test_a_metrics_port_in_use(tmp_path: Path, taken_port: int, redis_server_url: str) -> None:
    code, said = start(
        "workers", tmp_path, TRUNKLINE_METRICS_PORT=str(taken_port), REDIS_URL=redis_server_url
    )
    assert code == 1
    assert f"trunkline worker: cannot serve metrics on port {taken_port}: " in said


@pytest.mark.parametrize("name", ["ehco", "nowhere:Agent", "house:Nobody", "house:Needy"])
def test_an_agent_that_cannot_be_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "house.py").write_text(
        "import msgspec\n"
        "from workers import Agent\n"
        "class Needy(Agent):\n"
        "    class State(msgspec.Struct):\n"
        "        needed: int\n"
    )
    code, said = start("workers", tmp_path, TRUNKLINE_AGENT=name)
    assert code == 1
    assert said.startswith("trunkline worker: ")
    assert len(said.splitlines()) == 1


def test_an_address_that_is_not_this_machine_s(tmp_path: Path, redis_server_url: str) -> None:
    code, said = start(
        "edge",
        tmp_path,
        TRUNKLINE_HOST="192.0.2.1",
        TRUNKLINE_PORT=str(free_port()),
        REDIS_URL=redis_server_url,
    )
    assert code == 1
    assert "trunkline edge: cannot listen on 192.0.2.1:" in said
