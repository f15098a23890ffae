"""What the callers heard, as WAV files: where they lie, and whether they can be written at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.audio import AudioFormat
from common.errors import UsageError
from ops.phone import heard, wav
from ops.phone.line import CallRecord
from workers.audio import codecs

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
    """In the encoding it came in, where a file can hold that; else decoded. Raises UsageError."""
    audio_format = record.play_format
    if wav.can_hold(audio_format):
        audio = record.playout.heard(now=record.ended_at)
    else:
        pcm, rate_hz = heard.samples(record)
        audio_format = AudioFormat.pcm(rate_hz)
        audio = codecs.encode(pcm, audio_format)
    try:
        wav.write(path, audio, audio_format)
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
