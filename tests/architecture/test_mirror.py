"""Every module has its test module: `a.b.c` is tested by `tests/a/b/test_c.py`, a package that
holds code like a module of its name (`workers.agents` by `tests/workers/test_agents.py`)."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.sources import ROOT, modules

#: A `__main__` reads the environment, listens and obeys signals: only a process can show that it
#: does, so these are tested as processes, in `tests/system/`.
TESTED_AS_PROCESSES = {"edge.__main__", "workers.__main__"}

#: `trunkline up` as a whole, by `tests/ops/test_up.py`: without supervisor there is nothing to see.
TESTED_AS_PROCESSES |= {"ops.supervised"}

#: Benchmarks are programs of their own, whose figures nobody can assert; the one whose outcome is
#: more than a figure is run by `tests/system/test_clear.py`.
BENCHMARKS = "ops.bench."


def holds_code(path: Path) -> bool:
    """Whether there is more than a docstring."""
    body = ast.parse((ROOT / path).read_text()).body
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body
    )


def mirror_of(name: str) -> Path:
    *packages, module = name.split(".")
    return Path("tests", *packages, f"test_{module}.py")


def test_every_module_has_its_test_module() -> None:
    missing = [
        f"{path} has no {mirror_of(name)}"
        for name, path in modules().items()
        if holds_code(path)
        and name not in TESTED_AS_PROCESSES
        and not name.startswith(BENCHMARKS)
        and not (ROOT / mirror_of(name)).exists()
    ]
    assert not missing, "\n" + "\n".join(missing)


def test_the_exceptions_exist() -> None:
    assert set(modules()) >= TESTED_AS_PROCESSES


def test_every_folder_of_tests_is_a_package() -> None:
    """Without its `__init__`, `tests/common/` would shadow `common/`."""
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    bare = [
        str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()
    ]
    assert not bare
