"""What the callers heard, as WAV files: where they lie, and whether they can be written at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import UsageError
from ops.phone import wav
from ops.phone.line import CallRecord

__all__ = ["paths", "write"]


def paths(path: Path | None, providers: Sequence[str], calls: int) -> list[Path]:
    """One for each call, in order; none when nothing is to be recorded. Raises UsageError."""
    if path is None:
        return []
    if not path.name:
        raise UsageError(f"--record: {path} is a directory")
    names = [f"-{provider}" for provider in providers] if len(providers) > 1 else [""]
    numbers = [f"-{number}" for number in range(1, calls + 1)] if calls > 1 else [""]
    found = [
        path.with_name(f"{path.stem}{name}{number}{path.suffix}")
        for name in names
        for number in numbers
    ]
    for each in found:
        _check_writable(each)
    return found


def write(path: Path, record: CallRecord) -> None:
    """Raises UsageError."""
    try:
        wav.write(path, record.playout.heard(now=record.ended_at), record.play_format)
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_writable(path: Path) -> None:
    """By writing nothing: permissions alone do not tell, least of all root's."""
    exists = path.exists()
    try:
        path.open("ab").close()
        if not exists:
            path.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"--record: {path} cannot be written: {(error.strerror or '').lower()}")
