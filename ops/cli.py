"""The console script `trunkline`: one table of subcommands, one place where errors become lines.

A subcommand is a module, imported only when it is asked for: `trunkline --help` needs none of
them, and `trunkline call` neither Redis nor supervisor.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from common.errors import TrunklineError, UsageError

__all__ = ["main"]

_INTERRUPTED = 130  # what a shell reports for a command that a Ctrl-C ended


class _Command(NamedTuple):
    """`module` has `add_arguments(parser)` and `run(args) -> int`; or, when it is one of the
    system's processes, `main() -> int` and no arguments."""

    module: str
    summary: str
    example: str
    is_process: bool = False


_COMMANDS = {
    "up": _Command(
        "ops.up",
        "run the whole system on this machine: Redis, edges and workers, until Ctrl-C",
        "trunkline up --workers 2 --agent my_agents:Greeter",
    ),
    "call": _Command(
        "ops.phone.command",
        "play the provider: place calls, talk, listen, and report how they went",
        "trunkline call twilio --play hello.wav --record heard.wav",
    ),
    "doctor": _Command(
        "ops.doctor",
        "check settings, Redis and dependencies, and say what to fix",
        "REDIS_URL=redis://10.0.0.5:6379/0 trunkline doctor",
    ),
    "edge": _Command(
        "edge.__main__",
        "run one edge, configured by the environment",
        "REDIS_URL=redis://10.0.0.5:6379/0 TRUNKLINE_PORT=8081 trunkline edge",
        is_process=True,
    ),
    "worker": _Command(
        "workers.__main__",
        "run one worker, configured by the environment",
        "REDIS_URL=redis://10.0.0.5:6379/0 TRUNKLINE_AGENT=my_agents:Greeter trunkline worker",
        is_process=True,
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0, the UsageError's own, 2 for wrong arguments, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next((word for word in arguments if word in _COMMANDS), "")
    try:
        return _run(name, arguments)
    except TrunklineError as error:
        print(f"trunkline {name}: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does. Nothing to say, and nowhere to say
        # it: without this, Python would complain while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(name: str, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="trunkline",
        description="Live telephone calls streamed to your own audio and agent code.",
        epilog="Example: trunkline up, then, in a second shell: trunkline call twilio",
    )
    parser.add_argument("--version", action="version", version=f"trunkline {version('trunkline')}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for each, command in _COMMANDS.items():
        subparser = subparsers.add_parser(
            each,
            help=command.summary,
            description=f"{command.summary[:1].upper()}{command.summary[1:]}.",
            epilog=f"Example: {command.example}",
        )
        if each == name and not command.is_process:
            importlib.import_module(command.module).add_arguments(subparser)
    args = parser.parse_args(arguments)
    command = _COMMANDS[args.command]
    module = importlib.import_module(command.module)
    code: int = module.main() if command.is_process else module.run(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
