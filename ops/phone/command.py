"""`trunkline call`: play a telephony provider, place calls in real time, say how they went."""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop

from common.errors import UsageError
from ops.phone import printout, speech, wav
from ops.phone.dialect import Dialect
from ops.phone.dialects import known_dialects
from ops.phone.line import CallRecord, Script
from ops.phone.report import report_on
from ops.phone.switchboard import Placement, place

__all__ = ["add_arguments", "run"]

#: Every provider that the phone can play, one call of each.
ALL = "all"
#: Stands for the provider's name in a URL.
PLACEHOLDER = "PROVIDER"
DEFAULT_URL = f"ws://127.0.0.1:8080/media/{PLACEHOLDER}"

_DIGITS = frozenset("0123456789*#ABCD")
_KILLED = 128  # plus the number of the signal, as shells have it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    known = ", ".join(known_dialects())
    parser.description = (
        "Play a telephony provider: place calls in real time, play and record what comes back as "
        "that provider would, echo marks, report. Exit code 0 only if every call behaved."
    )
    parser.add_argument(
        "provider",
        metavar="PROVIDER",
        help=f"one of {known}; several with commas between, or `{ALL}`: a call of each, at once",
    )
    parser.add_argument(
        "--url",
        default=DEFAULT_URL,
        help=f"where to call; {PLACEHOLDER} in it is replaced by the name (default: %(default)s)",
    )
    parser.add_argument(
        "--play",
        type=Path,
        metavar="IN.WAV",
        help="what the caller says: 8 kHz mono WAV, 16-bit PCM or mu-law (default: a tune in "
        "which no two frames are alike)",
    )
    parser.add_argument(
        "--dtmf",
        default="",
        metavar="KEYS",
        help="keys to press, from 500 ms into the speech on; with `all`, where there are keys",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help=f"how long to speak; a shorter file is played again and again (default: the file "
        f"once, or {speech.DEFAULT_S:g} s of the tune)",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="HEARD.WAV",
        help="write what the caller heard, in the encoding it came in; for several calls to "
        "HEARD-1.WAV .., for several providers to HEARD-<provider>.WAV or HEARD-<provider>-1.WAV",
    )
    parser.add_argument(
        "--calls", type=int, default=1, metavar="N", help="calls of each provider (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="report as one JSON document")
    parser.add_argument(
        "--expect",
        choices=["auto", "echo"],
        default="auto",
        help="echo: what is sent must come back, whole and in order; auto: the same where most of "
        "it does come back (default)",
    )


def run(args: argparse.Namespace) -> int:
    try:
        return _run(args)
    except UsageError as error:
        print(f"trunkline call: {error}", file=sys.stderr)
        return error.exit_code


def _run(args: argparse.Namespace) -> int:
    dialects = _dialects(args.provider)
    placements = _placements(args, dialects)
    paths = _record_paths(args.record, dialects, args.calls)
    gc.freeze()  # a full collection, mostly of imported modules, would stall every call 20 ms
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            session = runner.run(place(placements))
    finally:
        gc.unfreeze()
    report = report_on(session.records)
    print(msgspec.json.encode(report).decode() if args.json else printout.table(report))
    for path, record in zip(paths, session.records, strict=False):
        _write(path, record)
    if session.signal is not None:
        return _KILLED + session.signal
    return 0 if report.total.behaved else 1


def _placements(args: argparse.Namespace, dialects: Sequence[Dialect]) -> list[Placement]:
    if args.calls < 1:
        raise UsageError(f"--calls must be at least 1, not {args.calls}")
    if args.seconds is not None and not (0 < args.seconds < math.inf):
        raise UsageError(f"--seconds must be more than 0, not {args.seconds:g}")
    digits = _digits(args.dtmf, dialects, skips_keyless=args.provider == ALL)
    placements: list[Placement] = []
    for dialect in dialects:
        url = _url(args.url.replace(PLACEHOLDER, dialect.name))
        script = Script(
            _speech(dialect, args.play, args.seconds),
            digits=digits if dialect.has_dtmf else "",
            expects_echo=args.expect == "echo",
        )
        placements += [Placement(dialect, script, url)] * args.calls
    return placements


def _dialects(providers: str) -> list[Dialect]:
    known = known_dialects()
    names = list(known) if providers == ALL else providers.split(",")
    for name in names:
        if name not in known:
            raise UsageError(f"unknown provider {name!r}; known are {', '.join(known)} and {ALL}")
    if len(set(names)) < len(names):
        raise UsageError(f"{providers!r} names a provider twice; use --calls for several calls")
    return [known[name] for name in names]


def _digits(text: str, dialects: Sequence[Dialect], *, skips_keyless: bool) -> str:
    digits = text.upper()
    wrong = sorted(set(digits) - _DIGITS)
    if wrong:
        raise UsageError(f"--dtmf: {wrong[0]!r} is no key; keys are 0-9 * # A-D")
    keyless = [dialect.name for dialect in dialects if not dialect.has_dtmf]
    if digits and keyless and (not skips_keyless or len(keyless) == len(dialects)):
        raise UsageError(f"--dtmf: {keyless[0]} has no way to tell which key was pressed")
    return digits


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(f"--url: {url!r} is no WebSocket URL such as {DEFAULT_URL}")
    return url


def _speech(dialect: Dialect, path: Path | None, seconds: float | None) -> list[bytes]:
    if path is None:
        return speech.tune(dialect.format, chunk_ms=dialect.chunk_ms, seconds=seconds)
    return speech.from_wav(path, dialect.format, chunk_ms=dialect.chunk_ms, seconds=seconds)


def _record_paths(path: Path | None, dialects: Sequence[Dialect], calls: int) -> list[Path]:
    """One for each call, in order; none when nothing is to be recorded."""
    if path is None:
        return []
    if not path.name:
        raise UsageError(f"--record: {path} is a directory")
    names = [f"-{dialect.name}" for dialect in dialects] if len(dialects) > 1 else [""]
    numbers = [f"-{number}" for number in range(1, calls + 1)] if calls > 1 else [""]
    paths = [
        path.with_name(f"{path.stem}{name}{number}{path.suffix}")
        for name in names
        for number in numbers
    ]
    for each in paths:
        _check_writable(each)
    return paths


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


def _write(path: Path, record: CallRecord) -> None:
    try:
        wav.write(path, record.playout.heard(now=record.ended_at), record.play_format)
    except OSError as error:
        raise _unwritable(path, error) from error
