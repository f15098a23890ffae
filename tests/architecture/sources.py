"""The source files that the rules of the architecture are held against."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "modules", "source_files"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "edge", "workers", "ops")


def source_files() -> list[Path]:
    """Relative to the root, in order."""
    return [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def modules() -> dict[str, Path]:
    """Dotted name -> file; a package goes by its own name, not by that of its `__init__`."""
    return {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): path
        for path in source_files()
    }
