"""import-linter's contracts (pyproject.toml), and that they still bite."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, ROOT, modules

_LINT = Path(sys.executable).with_name("lint-imports")


def configuration() -> dict[str, object]:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    linter: dict[str, object] = tool["importlinter"]
    return linter


def lint(directory: Path, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_LINT, "--config", config, "--no-cache"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_contracts_are_kept() -> None:
    linted = lint(ROOT, ROOT / "pyproject.toml")
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_contracts_look_at_every_package() -> None:
    assert configuration()["root_packages"] == list(PACKAGES)


def test_every_module_that_a_contract_names_exists() -> None:
    """A renamed module must not slip out of its contract."""
    known = set(modules())
    contracts = configuration()["contracts"]
    assert isinstance(contracts, list)
    named = {
        module.removesuffix(".*")
        for contract in contracts
        for field in ("modules", "source_modules")
        for module in contract.get(field, [])
    }
    assert named
    assert not named - known


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("common.bus", "edge.pacer"),
        ("common.keys", "workers.agent"),
        ("edge.app", "workers.agent"),
        ("workers.worker", "edge.pacer"),
        ("workers.worker", "ops.cli"),
        ("edge.providers.twilio", "edge.providers.mesmer"),
        ("ops.phone.line", "edge.pacer"),
        ("edge.pacer", "time"),
        ("edge.stream", "asyncio"),
        ("common.wire", "redis"),
    ],
)
def test_an_illegal_import_is_reported(tmp_path: Path, importer: str, imported: str) -> None:
    for path in modules().values():
        copy = tmp_path / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / path).read_bytes())
    guilty = tmp_path / modules()[importer]
    guilty.write_text(f"{guilty.read_text()}\nimport {imported}\n")
    config = tmp_path / "pyproject.toml"
    config.write_bytes((ROOT / "pyproject.toml").read_bytes())
    linted = lint(tmp_path, config)
    assert linted.returncode == 1, linted.stdout
    assert importer in linted.stdout
