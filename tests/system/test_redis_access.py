"""How Redis lets us in: with TLS, with a user that may do no more than it must, by a Unix socket,
into another database than the first. And what is said when it does not."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from ops import redis_server
from ops.logs import last_line
from ops.redis_permissions import NEEDED
from tests.ports import HOST, free_port
from tests.system.chaos.own_redis import Options, OwnRedis
from tests.system.processes import ROOT, Process, System, environment, running, wait_until

CALLS = 4
#: What the tests' way of finding workers needs, a database other than 0, and doctor.
BESIDES = ("+client|setname", "+select", "+multi", "+discard", "+config|get")


def doctor(url: str, **settings: str) -> tuple[int, list[str]]:
    """How it ended, and what it said of Redis."""
    ended = subprocess.run(
        [sys.executable, "-m", "ops.cli", "doctor"],
        cwd=ROOT,
        env=environment(REDIS_URL=url, **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in ended.stderr
    lines = [line for line in ended.stdout.splitlines() if re.match(r"\w+ +redis  ", line)]
    return ended.returncode, lines


def assert_is_waited_for(system: System, url: str, says: str, *, by_workers: bool = True) -> None:
    """An edge and a worker that Redis does not let in say so once, are not ready, and go on."""
    edge = system.start_edge(REDIS_URL=url)
    processes = [edge]
    if by_workers:
        processes.append(system.start_worker(REDIS_URL=url, TRUNKLINE_DRAIN_TIMEOUT_S="1"))
    for process in processes:
        process.wait_until_up("/metrics")
        wait_until(partial(_has_said, process, says))
    assert edge.status("/readyz") == 503
    for process in processes:
        process.terminate()
        assert process.exit_code(within_s=30.0) == 0
        assert process.log.count(says) == 1
        assert "Traceback" not in process.log


def _has_said(process: Process, text: str) -> bool:
    return text in process.log


class Certificates(NamedTuple):
    ca: Path
    other_ca: Path
    of_server: Path
    key: Path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")

    def make(name: str, *arguments: str) -> Path:
        path = tmp_path / f"{name}.crt"
        new = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name}".split()
        files = ["-keyout", str(path.with_suffix(".key")), "-out", str(path)]
        subprocess.run([*new, *files, *arguments], check=True, capture_output=True)
        return path

    ca = make("ca")
    signed_by_ca = ["-CA", str(ca), "-CAkey", str(ca.with_suffix(".key"))]
    of_server = make("server", *signed_by_ca, "-addext", f"subjectAltName=IP:{HOST}")
    return Certificates(ca, make("other"), of_server, of_server.with_suffix(".key"))


@pytest.fixture
def tls(certificates: Certificates, tmp_path: Path) -> Iterator[str]:
    """The URL of a server with TLS, without options."""
    binary = redis_server.find_binary()
    port = free_port()
    with redis_server.fresh_directory() as directory, contextlib.ExitStack() as stack:
        options = {
            "--tls-port": str(port),
            "--bind": HOST,
            "--tls-cert-file": str(certificates.of_server),
            "--tls-key-file": str(certificates.key),
            "--tls-ca-cert-file": str(certificates.ca),
            "--tls-auth-clients": "no",
        }
        command = redis_server.command(binary, directory)
        log = tmp_path / "redis.log"
        server = subprocess.Popen(
            [*command, *(word for option in options.items() for word in option)],
            stdout=stack.enter_context(log.open("wb")),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(server.wait)
        stack.callback(server.kill)

        def has_begun() -> bool:
            return server.poll() is not None or redis_server.answers(directory / "redis.sock")

        wait_until(has_begun, within_s=60.0)
        if server.poll() is not None:
            pytest.skip(f"{binary.path} has no TLS: {last_line(log)}")
        yield f"rediss://{HOST}:{port}/0"


def test_calls_go_through_tls(tls: str, certificates: Certificates, tmp_path: Path) -> None:
    url = f"{tls}?ssl_ca_certs={certificates.ca}"
    code, said = doctor(url)
    assert code == 0, said
    with running(url, tmp_path) as system:
        system.start(workers=1)
        phone = system.phone("twilio", "--calls", str(CALLS), "--seconds", "2", "--expect", "echo")
        assert phone.report().total.calls_behaved == CALLS
        system.wait_until_no_call_is_left()


def test_server_whose_certificate_is_not_trusted_is_not_spoken_to(
    tls: str, certificates: Certificates, tmp_path: Path
) -> None:
    url = f"{tls}?ssl_ca_certs={certificates.other_ca}"
    code, said = doctor(url)
    assert code == 1
    (line,) = said
    assert line.startswith("fail")
    assert "certificate verify failed" in line
    with running(url, tmp_path) as system:
        assert_is_waited_for(system, url, "certificate verify failed")


def test_file_of_certificates_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    url = f"rediss://{HOST}/0?ssl_ca_certs={tmp_path / 'ca.crt'}"
    for module in ("edge", "workers"):
        ended = subprocess.run(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=environment(REDIS_URL=url),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 2
        assert "REDIS_URL: ssl_ca_certs: there is no such file" in ended.stderr


class Restricted(NamedTuple):
    """A server, its administrator, and the URL of a user who may do what `rules` say."""

    url: str
    admin_url: str
    admin: Any

    def allow(self, namespace: str, *rules: str) -> None:
        keys = f"~{{{namespace}:*}}:*"
        self.admin.execute_command(
            "ACL", "SETUSER", "us", "on", ">se/cr@t", "resetkeys", keys, "-@all", *rules
        )


@pytest.fixture
def restricted() -> Iterator[Restricted]:
    with redis_server.fresh_directory() as directory:
        server = OwnRedis(directory, Options())
        url = f"{server.url}?db=3&username=us&password=se%2Fcr%40t"
        with redis.Redis.from_url(server.url) as admin:
            yield Restricted(url, f"{server.url}?db=3", admin)
        server.close()


def test_user_needs_to_be_allowed_no_more_than_is_documented(
    restricted: Restricted, tmp_path: Path
) -> None:
    """A worker dies meanwhile: taking over is work of its own."""
    with running(restricted.admin_url, tmp_path) as system:
        restricted.allow(system.namespace, *NEEDED, *BESIDES)
        code, said = doctor(restricted.url, TRUNKLINE_NAMESPACE=system.namespace)
        assert code == 0
        assert any("allows all that is needed" in line for line in said), said
        url = {"REDIS_URL": restricted.url}
        system.start(workers=2, edge=url, worker=url)
        phone = system.phone("twilio", "--calls", str(CALLS), "--seconds", "4", "--expect", "echo")
        system.wait_until_live(CALLS)
        system.worker.kill()
        assert phone.report().total.calls_behaved == CALLS
        system.wait_until_no_call_is_left()
        for process in (system.workers[1], system.edge):
            process.terminate()
            assert process.exit_code(within_s=30.0) == 0
    assert restricted.admin.execute_command("ACL", "LOG") == []


@pytest.mark.parametrize("lacking", ["+hset", "+xadd", "+evalsha", "+script|load"])
def test_user_who_may_not_do_what_is_needed_is_told_so_once(
    restricted: Restricted, tmp_path: Path, lacking: str
) -> None:
    with running(restricted.admin_url, tmp_path) as system:
        granted = [rule for rule in NEEDED if rule != lacking]
        restricted.allow(system.namespace, *granted, *BESIDES)
        code, said = doctor(restricted.url, TRUNKLINE_NAMESPACE=system.namespace)
        assert code == 1
        assert [line for line in said if line.startswith("fail") and f" {lacking};" in line], said
        if lacking in ("+hset", "+xadd"):
            return  # what is lacking only once there is a call, see the next test
        # A worker has nothing to ask for until there are calls, and an edge takes none.
        by_workers = lacking != "+evalsha"
        assert_is_waited_for(system, restricted.url, "Redis does not let us", by_workers=by_workers)


def test_calls_wait_for_a_right_that_was_taken_away(restricted: Restricted, tmp_path: Path) -> None:
    """As for a Redis that is away: nothing is lost, and no new call is taken."""
    with running(restricted.admin_url, tmp_path) as system:
        restricted.allow(system.namespace, *NEEDED, *BESIDES)
        url = {"REDIS_URL": restricted.url}
        system.start(workers=1, edge=url, worker=url)
        phone = system.phone("twilio", "--calls", str(CALLS), "--seconds", "5", "--expect", "echo")
        system.wait_until_live(CALLS)
        restricted.admin.execute_command("ACL", "SETUSER", "us", "-xadd")
        wait_until(lambda: system.edge.status("/readyz") == 503)
        restricted.admin.execute_command("ACL", "SETUSER", "us", "+xadd")
        wait_until(lambda: system.edge.status("/readyz") == 200)
        total = phone.report().total
        assert (total.calls_behaved, total.frames_lost, total.frames_repeated) == (CALLS, 0, 0)
        assert system.edge.log.count("Redis does not let us") == 1


def test_keys_of_another_namespace_are_not_ours(restricted: Restricted) -> None:
    restricted.allow("somebody-else", *NEEDED, *BESIDES)
    code, said = doctor(restricted.url)
    assert code == 1
    assert [line for line in said if " ~{trunkline:0}:*;" in line], said
