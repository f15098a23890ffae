"""Barge-in: how long after an agent's clear the wire falls silent, for every provider at once.

An agent has ten seconds of speech queued and clears them after about one and a half. The time runs
from the agent's clear (its commit follows within a millisecond or two) to the arrival of the last
byte of what was cleared. Whatever arrives later than the first byte of what comes after is stale.

Usage: python -m ops.bench.clear_to_silence [--calls 4]      (of each provider)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from pathlib import Path
from typing import NamedTuple

from ops import redis_server
from ops.bench.interrupter import CLEARED, MAGIC
from ops.bench.processes import free_port, trunkline, wait_for
from ops.phone import speech
from ops.phone.dialect import Dialect
from ops.phone.dialects import known_dialects
from ops.phone.line import CallRecord, Script
from ops.phone.switchboard import Placement, place

__all__ = ["Interruption", "MarkEnd", "Measurement", "main", "measure"]

_CALL_S = 3.0


class Interruption(NamedTuple):
    """What the phone saw on one call. `stale_bytes` came after what was played next."""

    provider: str
    silent_after_ms: float
    stale_bytes: int
    faults: dict[str, int]


class MarkEnd(NamedTuple):
    name: str
    outcome: str
    heard_ms: int


class Measurement(NamedTuple):
    """`marks`: provider and marks of each call, in the order in which its agent was told."""

    interruptions: list[Interruption]
    marks: list[tuple[str, list[MarkEnd]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="ops.bench.clear_to_silence")
    parser.add_argument("--calls", type=int, default=4, help="of each provider")
    calls = measure(parser.parse_args().calls).interruptions
    for provider in known_dialects():
        delays = [call.silent_after_ms for call in calls if call.provider == provider]
        stale = sum(call.stale_bytes for call in calls if call.provider == provider)
        median, most = statistics.median(delays), max(delays)
        print(f"{provider}: {len(delays)} calls, silent after {median:.1f} ms (median), ", end="")
        print(f"{most:.1f} ms (longest); stale bytes {stale}")


def measure(calls: int, *, workers: int = 2) -> Measurement:
    """Runs a system of its own for so many calls of each provider, all at once."""
    with redis_server.fresh_directory() as directory:
        log = directory / "clear.jsonl"
        log.touch()
        port = free_port()
        environ = {
            "TRUNKLINE_PORT": str(port),
            "TRUNKLINE_AGENT": "ops.bench.interrupter:Interrupter",
            "TRUNKLINE_LOG_LEVEL": "WARNING",
            "CLEAR_LOG": str(log),
        }
        with trunkline(directory, environ, workers=workers):
            placements = [
                Placement(dialect, _script(dialect), f"ws://127.0.0.1:{port}/media/{name}")
                for name, dialect in known_dialects().items()
                for _ in range(calls)
            ]
            records = asyncio.run(place(placements)).records
            wait_for(lambda: log.read_text().count('"stop"') >= len(placements))
        return Measurement([_interruption(record) for record in records], _marks(log))


def _script(dialect: Dialect) -> Script:
    return Script(speech.tune(dialect.format, chunk_ms=dialect.chunk_ms, seconds=_CALL_S))


def _interruption(record: CallRecord) -> Interruption:
    """Raises ValueError where nothing was played after a clear."""
    received = bytes(record.received)
    end = received.index(MAGIC)
    time, after = received[end + len(MAGIC) :][:8], received[end + len(MAGIC) + 8 :]
    cleared_at_s = int.from_bytes(time, "big") / 1e9
    last_at_s = next(at for size, at in record.arrivals if size >= end)
    return Interruption(
        record.dialect.name,
        max(0.0, last_at_s - cleared_at_s) * 1000,
        after.count(CLEARED),  # in the time itself, any byte may occur
        dict(record.faults),
    )


def _marks(log: Path) -> list[tuple[str, list[MarkEnd]]]:
    calls: dict[str, tuple[str, list[MarkEnd]]] = {}
    for line in log.read_text().splitlines():
        fact = json.loads(line)
        _, marks = calls.setdefault(fact["call"], (fact["provider"], []))
        if fact["what"] == "mark":
            marks.append(MarkEnd(fact["name"], fact["outcome"], fact["heard_ms"]))
    return list(calls.values())


if __name__ == "__main__":
    main()
