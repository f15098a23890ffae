"""The end of a log file, for a message of one line."""

from __future__ import annotations

from pathlib import Path

__all__ = ["last_line"]


def last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
