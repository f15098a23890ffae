from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.processes import System, running


@pytest.fixture
def system(redis_server_url: str, tmp_path: Path) -> Iterator[System]:
    """For the test to start as it needs it."""
    with running(redis_server_url, tmp_path) as system:
        yield system


@pytest.fixture(scope="package")
def echo(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One edge and one echoing worker, already warm, for every test that leaves them whole."""
    with running(redis_server_url, tmp_path_factory.mktemp("echo")) as system:
        system.start()
        system.phone("twilio", "--seconds", "0.1").report()
        system.wait_until_no_call_is_left()
        yield system
