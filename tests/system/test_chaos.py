"""Faults that calls must survive, at a size for every day; `make chaos` has them all, larger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.chaos.config import Config
from tests.system.chaos.fault import run
from tests.system.chaos.faults import known_faults
from tests.system.chaos.row import table

FAULTS = ["baseline", "mutants", "F1", "F2", "F4", "F6", "F9", "F10", "F10b", "F11"]
CALLS = 20
ROUNDS = 5


@pytest.mark.parametrize("name", FAULTS)
def test_it_costs_what_it_may(name: str, tmp_path: Path) -> None:
    row = run(known_faults()[name], Config(CALLS, ROUNDS, tmp_path))
    print(table([row]))
    if row.skipped:
        pytest.skip(row.skipped)
    assert row.has_passed, row.failures
