"""`trunkline call`: play a telephony provider, place calls in real time, say how they went.

What is not in every provider's power (keys, codecs, disorder ..) must be in the power of those that
are named; with `all`, it is asked only of those that can.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop

from common.errors import AgentError, UsageError
from ops.phone import printout, recordings, speech
from ops.phone.dialect import Dialect
from ops.phone.dialects import known_dialects
from ops.phone.line import Script
from ops.phone.report import report_on
from ops.phone.switchboard import Placement, place
from workers.audio import codecs

__all__ = ["add_arguments", "run"]

#: Every provider that the phone can play, one call of each.
ALL = "all"
#: Stands for the provider's name in a URL.
PLACEHOLDER = "PROVIDER"
DEFAULT_URL = f"ws://127.0.0.1:8080/media/{PLACEHOLDER}"
DEFAULT_SEED = 1

#: What sunvone's variant is called, and the option that chooses it.
_INTERRUPT = "interrupt"
_DIGITS = frozenset("0123456789*#ABCD")
_KILLED = 128  # plus the number of the signal, as shells have it


class _WrongCodecError(UsageError):
    exit_code = 2


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
        help=f"where to call; {PLACEHOLDER} in it is replaced by the name, which also completes "
        "a path that ends in /media/; at the path / the edge finds out who is calling (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--play",
        type=Path,
        metavar="IN.WAV",
        help="what the caller says: mono WAV, 16-bit PCM, mu-law or A-law, at 8 to 48 kHz "
        "(default: a tune in which no two frames are alike)",
    )
    parser.add_argument(
        "--dtmf",
        default="",
        metavar="KEYS",
        help="keys to press, from 500 ms into the speech on: by message, or where the provider has "
        "none by their tones in the audio",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help=f"how long to speak; a shorter file is played again and again (default: the file "
        f"once, or {speech.DEFAULT_S:g} s of the tune)",
    )
    parser.add_argument(
        "--listen",
        type=float,
        default=0.0,
        metavar="S",
        help="how long to stay on the line then, silent, for an agent that waits its turn "
        "(default: 0)",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="HEARD.WAV",
        help="write what the caller heard, in the encoding it came in, if a WAV file can have "
        "that, else decoded; for several calls to HEARD-1.WAV .., for several providers to "
        "HEARD-<provider>.WAV or HEARD-<provider>-1.WAV",
    )
    parser.add_argument(
        "--calls", type=int, default=1, metavar="N", help="calls of each provider (default: 1)"
    )
    _add_manners(parser)
    parser.add_argument("--json", action="store_true", help="report as one JSON document")
    parser.add_argument(
        "--expect",
        choices=["auto", "echo"],
        default="auto",
        help="echo: what is sent must come back, whole and in order; auto: the same where most of "
        "it does come back (default)",
    )


def _add_manners(parser: argparse.ArgumentParser) -> None:
    codecs = _variants(known_dialects().values())
    parser.add_argument(
        "--codec",
        type=str.upper,
        help=f"telnyx: the codec of the call, both ways, one of {', '.join(codecs)} "
        "(default: PCMU)",
    )
    parser.add_argument(
        "--interrupt",
        action="store_true",
        help="sunvone: know the message `interrupt`, as the newer version of the protocol does",
    )
    parser.add_argument(
        "--shuffle",
        action="store_true",
        help="telnyx: send audio out of order, within 5 frames, and every 20th frame twice",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"--shuffle: which disorder, the same for the same N (default: {DEFAULT_SEED})",
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
    names = [dialect.name for dialect in dialects]
    paths = recordings.paths(args.record, names, args.calls)
    gc.freeze()  # a full collection, mostly of imported modules, would stall every call 20 ms
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            session = runner.run(place(placements))
    finally:
        gc.unfreeze()
    report = report_on(session.records)
    print(msgspec.json.encode(report).decode() if args.json else printout.table(report))
    for path, record in zip(paths, session.records, strict=False):
        recordings.write(path, record)
    if session.signal is not None:
        return _KILLED + session.signal
    return 0 if report.total.behaved else 1


def _placements(args: argparse.Namespace, dialects: Sequence[Dialect]) -> list[Placement]:
    if args.calls < 1:
        raise UsageError(f"--calls must be at least 1, not {args.calls}")
    if args.seconds is not None and not (0 < args.seconds < math.inf):
        raise UsageError(f"--seconds must be more than 0, not {args.seconds:g}")
    if not 0 <= args.listen < math.inf:
        raise UsageError(f"--listen must be 0 or more, not {args.listen:g}")
    if args.seed is not None and not args.shuffle:
        raise UsageError("--seed says how to --shuffle, which is not asked for")
    _check_powers(args, dialects)
    digits = _digits(args.dtmf)
    placements: list[Placement] = []
    for dialect in dialects:
        spoken = _spoken(dialect, args)
        sounding = "" if dialect.has_dtmf else digits
        script = Script(
            _speech(spoken, args, sounding),
            digits="" if sounding else digits,
            sounding_digits=sounding,
            expects_echo=args.expect == "echo",
        )
        url = _url(args.url, dialect.name)
        placements += [
            Placement(spoken, _shuffled(script, dialect, args, call), url)
            for call in range(1, args.calls + 1)
        ]
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


def _check_powers(args: argparse.Namespace, dialects: Sequence[Dialect]) -> None:
    def check(
        option: str,
        has_power: Callable[[Dialect], bool],
        lack: str,
        kind: type[UsageError] = UsageError,
    ) -> None:
        lacking = [dialect.name for dialect in dialects if not has_power(dialect)]
        if lacking and (args.provider != ALL or len(lacking) == len(dialects)):
            raise kind(f"{option}: {lacking[0]} {lack}")

    if args.codec is not None:
        known = ", ".join(_variants(dialects))
        lack = f"has no codec {args.codec} to choose" + (f"; known are {known}" if known else "")
        check("--codec", lambda d: args.codec in _variants([d]), lack, _WrongCodecError)
    if args.interrupt:
        check("--interrupt", lambda d: _INTERRUPT in d.variants, "never knows `interrupt`")
    if args.shuffle:
        check("--shuffle", lambda d: d.shuffles, "sends its audio in order")


def _variants(dialects: Iterable[Dialect]) -> list[str]:
    """The codecs that may be chosen."""
    return [name for dialect in dialects for name in dialect.variants if name != _INTERRUPT]


def _spoken(dialect: Dialect, args: argparse.Namespace) -> Dialect:
    """The dialect as it was asked for."""
    if args.interrupt:
        dialect = dialect.variants.get(_INTERRUPT, dialect)
    return dialect if args.codec is None else dialect.variants.get(args.codec, dialect)


def _shuffled(script: Script, dialect: Dialect, args: argparse.Namespace, call: int) -> Script:
    if not args.shuffle or not dialect.shuffles:
        return script
    seed = DEFAULT_SEED if args.seed is None else args.seed
    return msgspec.structs.replace(script, shuffle_seed=f"{seed}/{call}")


def _digits(text: str) -> str:
    digits = text.upper()
    wrong = sorted(set(digits) - _DIGITS)
    if wrong:
        raise UsageError(f"--dtmf: {wrong[0]!r} is no key; keys are 0-9 * # A-D")
    return digits


def _url(text: str, name: str) -> str:
    url = text.replace(PLACEHOLDER, name)
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(f"--url: {url!r} is no WebSocket URL such as {DEFAULT_URL}")
    if parts.path.endswith("/media/"):
        return parts._replace(path=parts.path + name).geturl()
    return url


def _speech(dialect: Dialect, args: argparse.Namespace, sounding: str) -> list[bytes]:
    make = speech.tune if args.play is None else partial(speech.from_wav, args.play)
    try:
        codecs.open_decoder(dialect.format)
        return make(
            dialect.format,
            chunk_ms=dialect.chunk_ms,
            seconds=args.seconds,
            keys=sounding,
            listen_s=args.listen,
        )
    except AgentError as error:
        raise _WrongCodecError(f"--codec: {error}") from None
