"""What a fault is: a script against a running system, and what it needs of the machine."""

from __future__ import annotations

import subprocess
import traceback
from collections.abc import Callable
from typing import NamedTuple

import redis

from tests.system.chaos.config import Config
from tests.system.chaos.row import Row

__all__ = ["Fault", "run"]


class Fault(NamedTuple):
    """`play` fills the row; it has no say in the verdict but by what it expects. `obstacle`: why
    the fault cannot be had on this machine, empty when it can. `takes_part`: whether it runs when
    nothing was chosen."""

    name: str
    title: str
    play: Callable[[Config, Row], None]
    obstacle: Callable[[], str] = lambda: ""
    takes_part: bool = True


#: A deadline that passed, and processes or a Redis that do not do what the script relies on.
_FAILURES = (AssertionError, OSError, subprocess.SubprocessError, redis.RedisError)


def run(fault: Fault, config: Config) -> Row:
    """Never raises for what the system under test does: that is a failure in the row."""
    row = Row.new(fault.name, fault.title)
    row.skipped = fault.obstacle()
    if not row.skipped:
        config = config._replace(directory=config.directory / fault.name)
        config.directory.mkdir(exist_ok=True)
        try:
            fault.play(config, row)
        except _FAILURES as error:
            what = (str(error) or type(error).__name__).splitlines()[0]
            row.failures.append(f"{_waiting_for(error)}: {what}")
            row.notes.append(f"logs and ledger: {config.directory}")
    return row


def _waiting_for(error: Exception) -> str:
    """The line of the fault's own script that did not come true."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/chaos/faults/" in frame.filename]
    return (own[-1].line or "") if own else "the stage"
