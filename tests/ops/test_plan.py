from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import ops
from common.errors import SettingsError, UsageError
from ops.plan import Plan, make_plan
from tests.ports import free_ports


@pytest.fixture
def taken_port() -> Iterator[int]:
    """The one before it is free."""
    port = free_ports(2) + 1
    with socket.create_server(("127.0.0.1", port)):
        yield port


def plan(directory: Path, *, edges: int = 1, workers: int = 1, **environ: str) -> Plan:
    environ.setdefault("TRUNKLINE_PORT", str(free_ports(2)))
    return make_plan(environ, directory, edges=edges, workers=workers)


def test_the_environment_has_every_variable_of_the_supervisor_file(tmp_path: Path) -> None:
    configuration = (Path(ops.__file__).parent / "supervisord.conf").read_text()
    needed = set(re.findall(r"%\(ENV_(\w+)\)s", configuration))
    assert needed
    assert needed <= set(plan(tmp_path).environ)


def test_a_private_redis_is_run_only_where_no_other_is_named(
    tmp_path: Path, redis_url: str
) -> None:
    private = plan(tmp_path, REDIS_URL=" ")
    assert private.environ["TRUNKLINE_REDIS"] == "1"
    assert private.environ["REDIS_URL"] == f"unix://{tmp_path}/redis.sock"
    named = plan(tmp_path, REDIS_URL=redis_url)
    assert named.environ["TRUNKLINE_REDIS"] == "0"
    assert named.environ["REDIS_URL"] == redis_url


def test_calls_get_two_seconds_to_end_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    assert plan(tmp_path).settings.drain_timeout_s == 2
    patient = plan(tmp_path, TRUNKLINE_DRAIN_TIMEOUT_S="7.5")
    assert patient.settings.drain_timeout_s == 7.5
    assert int(patient.environ["TRUNKLINE_STOP_WAIT_S"]) > 7.5


def test_every_fault_of_both_kinds_of_process_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        plan(tmp_path, TRUNKLINE_LANES="0", TRUNKLINE_WORKER_CALLS="many", TRUNKLINE_LEAD_MS="-1")
    names = [fault.partition(":")[0] for fault in caught.value.faults]
    assert sorted(names) == ["TRUNKLINE_LANES", "TRUNKLINE_LEAD_MS", "TRUNKLINE_WORKER_CALLS"]


def test_the_port_of_every_edge_must_be_free(tmp_path: Path, taken_port: int) -> None:
    message = f"port {taken_port} is in use; choose another with --port"
    with pytest.raises(UsageError, match=message):
        plan(tmp_path, TRUNKLINE_PORT=str(taken_port))
    with pytest.raises(UsageError, match=message):
        plan(tmp_path, TRUNKLINE_PORT=str(taken_port - 1), edges=2)


def test_the_port_of_every_workers_metrics_must_be_free(tmp_path: Path, taken_port: int) -> None:
    message = f"port {taken_port} is in use; choose another with TRUNKLINE_METRICS_PORT"
    with pytest.raises(UsageError, match=message):
        plan(tmp_path, workers=2, TRUNKLINE_METRICS_PORT=str(taken_port - 1))


def test_an_edge_and_a_workers_metrics_cannot_share_a_port(tmp_path: Path) -> None:
    first = free_ports(3)
    metrics, edge = str(first), str(first + 1)
    with pytest.raises(UsageError, match=f"port {edge} is an edge's"):
        plan(tmp_path, workers=2, TRUNKLINE_METRICS_PORT=metrics, TRUNKLINE_PORT=edge)
    assert plan(tmp_path, workers=1, TRUNKLINE_METRICS_PORT=metrics, TRUNKLINE_PORT=edge)


def test_ports_end_at_65535(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no port 65536"):
        plan(tmp_path, TRUNKLINE_PORT="65535", edges=2)


def test_an_address_that_this_machine_does_not_have_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1:\d+"):
        plan(tmp_path, TRUNKLINE_HOST="192.0.2.1")


@pytest.mark.parametrize(("edges", "workers"), [(0, 1), (-1, 1), (1, -1)])
def test_impossible_numbers_of_processes_are_refused(
    tmp_path: Path, edges: int, workers: int
) -> None:
    with pytest.raises(UsageError):
        plan(tmp_path, edges=edges, workers=workers)


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::", "[::1]")],
)
def test_an_edge_that_listens_everywhere_is_reached_at_home(
    tmp_path: Path, host: str, address: str
) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    port = free_ports(2)
    found = plan(tmp_path, TRUNKLINE_HOST=host, TRUNKLINE_PORT=str(port), edges=2)
    assert found.address(1) == f"{address}:{port + 1}"
