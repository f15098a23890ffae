"""Redis that dies, stands still, loses its data, its disk or its clock."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from common.errors import UsageError
from ops import redis_server
from tests.ports import free_port
from tests.system.chaos.config import Config, Needs
from tests.system.chaos.fault import Fault
from tests.system.chaos.own_redis import Options
from tests.system.chaos.probes import footprint
from tests.system.chaos.row import Row
from tests.system.chaos.stage import Stage
from tests.system.processes import wait_until
from tests.waiting import Starvation

__all__ = ["FAULTS"]

_LEAD_MS = 1500
_OUTAGE_S = 2.0
_NOT_READY_S = 1.0
_BACK_MS = 1500
_FLUSHES = 3
_MIB = 1 << 20


def _restart_with_data(config: Config, row: Row) -> None:
    with Stage(config, Needs(lead_ms=_LEAD_MS, redis=Options(aof=True))) as stage:
        _outage(stage, row, is_empty=False)
        stage.finish(row)
        row.notes.append(_replays(stage))
        row.expect(stage.counters.total("replayed") > 0, "no event was replayed")
    row.gap_within(1000)
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")


def _restart_empty(config: Config, row: Row) -> None:
    with Stage(config, Needs(lead_ms=_LEAD_MS)) as stage:
        _outage(stage, row, is_empty=True)
        stage.finish(row)
        row.notes.append(_replays(stage))
        announced = stage.counters.total("reannounced")
        row.expect(announced >= config.calls, f"only {announced} calls were announced again")
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")


def _flush(config: Config, row: Row) -> None:
    """Somebody's FLUSHALL: nobody loses a connection, and everything is gone."""
    with Stage(config, Needs(lead_ms=_LEAD_MS)) as stage:
        stage.talk()
        for _ in range(_FLUSHES):
            starvation, began = Starvation(*stage.pids()), time.monotonic()
            stage.system.redis.flushall()
            wait_until(lambda: _restored(stage) >= config.calls, within_s=30.0)
            took_ms = (time.monotonic() - began) * 1000
            row.notes.append(f"all calls in Redis again after {took_ms:.0f} ms")
            limit_ms = _BACK_MS + starvation.seconds * 1000
            row.at_most(took_ms, limit_ms, "all calls in Redis again after, ms")
            stage.wait_until_heard(100, calls=config.calls)
            row.rounds += 1
        stage.finish(row)
        row.notes.append(_replays(stage))
        announced = stage.counters.total("reannounced")
        expected = _FLUSHES * config.calls
        row.expect(announced >= expected, f"only {announced} calls were announced again")
    row.gap_within(1000)
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")


def _restored(stage: Stage) -> int:
    """Calls that have an owner at this moment; what the watch saw may be a moment old."""
    client = stage.system.redis
    return sum(bool(client.hget(key, "token")) for key in client.scan_iter(match="*:call:*"))


def _outage(stage: Stage, row: Row, *, is_empty: bool) -> None:
    stage.talk()
    stage.redis.kill()
    starvation, began = Starvation(*stage.pids()), time.monotonic()
    wait_until(lambda: stage.system.edge.status("/readyz") == 503)
    took_s = time.monotonic() - began - starvation.seconds
    row.at_most(took_s, _NOT_READY_S, "still ready without Redis, s")
    stage.last(max(0.0, began + _OUTAGE_S - time.monotonic()))
    if is_empty:
        stage.redis.empty()
    stage.redis.start()
    starvation, back = Starvation(*stage.pids()), time.monotonic()
    calls = stage.config.calls
    wait_until(lambda: _owned(stage) >= calls)
    took_ms = (time.monotonic() - back) * 1000
    row.notes.append(f"all calls in Redis again after {took_ms:.0f} ms")
    limit_ms = _BACK_MS + starvation.seconds * 1000
    row.at_most(took_ms, limit_ms, "all calls in Redis again after, ms")
    wait_until(lambda: stage.system.edge.status("/readyz") == 200)
    stage.wait_until_heard(100, calls=calls)
    row.rounds += 1


def _owned(stage: Stage) -> int:
    owners = stage.watch.owners()
    return sum(owner != "" for owner in owners.values())


def _replays(stage: Stage) -> str:
    counted = {key: stage.counters.total(key) for key in ("reannounced", "replayed", "restores")}
    return ", ".join(f"{key} {count}" for key, count in counted.items())


def _stand_still(config: Config, row: Row) -> None:
    """The edge keeps what is said meanwhile; beside that it may grow by 1 MiB for ten calls, and by
    another."""
    with Stage(config, Needs(lead_ms=_LEAD_MS)) as stage:
        stage.talk()
        before = footprint(stage.system.edge)
        heard = stage.system.edge.metric("trunkline_edge_audio_in_bytes_total")
        stage.redis.pause()
        try:
            stage.last(2.9)
            grown = footprint(stage.system.edge).memory - before.memory
            kept = stage.system.edge.metric("trunkline_edge_audio_in_bytes_total") - heard
        finally:
            stage.redis.resume()
        stage.wait_until_heard(100, calls=config.calls)
        stage.finish(row)
    row.rounds += 1
    row.notes.append(f"the edge grew by {grown:.1f} MiB")
    row.at_most(grown, config.calls / 10 + 1 + kept / _MIB, "the edge grew, MiB")
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")


def _jump(config: Config, row: Row) -> None:
    """The clock of Redis' machine jumps a minute ahead, and back."""
    clock = config.directory / "clock"
    clock.write_text("+0")
    environ = (
        ("FAKETIME_TIMESTAMP_FILE", str(clock)),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("LD_PRELOAD", str(_libfaketime())),
    )
    # Debian's build of Redis allocates by jemalloc, which libfaketime cannot live with.
    options = Options(bundled=True, environ=environ)
    with Stage(config, Needs(lead_ms=_LEAD_MS, redis=options)) as stage:
        stage.talk()
        for offset in ("+60", "+0", "-60", "+0"):
            before = _seconds(stage)
            clock.write_text(offset)
            wait_until(partial(_has_jumped, stage, before))
            row.rounds += 1
            stage.wait_until_heard(100, calls=config.calls)
        stage.finish(row)
    row.gap_within(40)
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")


def _has_jumped(stage: Stage, before: int) -> bool:
    return abs(_seconds(stage) - before) > 30


def _seconds(stage: Stage) -> int:
    reply = stage.system.redis.time()
    assert isinstance(reply, tuple)
    return int(reply[0])


def _libfaketime() -> Path | None:
    found = [path for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    return found[0] if found else None


def _no_faketime() -> str:
    if _libfaketime() is None:
        return "libfaketime is not installed (apt-get install faketime)"
    try:
        redis_server.find_bundled()
    except UsageError as error:
        return str(error)
    return ""


def _lose_packets(config: Config, row: Row) -> None:
    port = free_port()
    needs = Needs(lead_ms=_LEAD_MS, redis=Options(port=port), redis_port=port)
    with Stage(config, needs) as stage, _loss(port):
        stage.talk()
        row.rounds += 1
        stage.last(min(60.0, 3.0 * config.rounds))
        dropped = _dropped(port)
        row.notes.append(f"packets lost: {dropped}")
        row.expect(dropped > 0, "no packet was lost: the fault was not exercised")
        stage.finish(row)


@contextmanager
def _loss(port: int) -> Iterator[None]:
    rules = [
        ["INPUT", "-i", "lo", "-p", "tcp", side, str(port), "-m", "statistic", "--mode", "random",
         "--probability", "0.05", "-j", "DROP"]
        for side in ("--dport", "--sport")
    ]  # fmt: skip
    try:
        for rule in rules:
            _iptables("-A", *rule)
        yield
    finally:
        for rule in rules:
            _iptables("-D", *rule)


def _dropped(port: int) -> int:
    """What iptables has counted; the first column."""
    listed = subprocess.run(
        ["iptables", "-w", "-nvxL", "INPUT"], capture_output=True, text=True, check=True
    )
    lines = [line for line in listed.stdout.splitlines() if f"pt:{port}" in line]
    return sum(int(line.split()[0]) for line in lines)


def _iptables(*arguments: str) -> str:
    """What it complains of, empty when it obeyed."""
    found = shutil.which("iptables")
    if found is None:
        return "iptables is not installed"
    done = subprocess.run([found, "-w", *arguments], capture_output=True, text=True, check=False)
    return done.stderr.strip().partition("\n")[0] if done.returncode else ""


def _no_iptables() -> str:
    rule = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", "1", "-m", "statistic", "--mode", "random",
            "--probability", "0.05", "-j", "DROP"]  # fmt: skip
    if complaint := _iptables("-A", *rule):
        return complaint
    return _iptables("-D", *rule)


def _fill_the_disk(config: Config, row: Row) -> None:
    with _small_disk(config.directory / "disk") as disk:
        needs = Needs(lead_ms=_LEAD_MS, redis=Options(aof=True, data=disk))
        with Stage(config, needs) as stage:
            stage.talk()
            ballast = disk / "ballast"
            with ballast.open("wb") as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                        file.flush()
                except OSError:
                    row.rounds += 1
            began = time.monotonic()
            wait_until(lambda: stage.system.edge.status("/readyz") == 503)
            row.notes.append(f"not ready after {time.monotonic() - began:.1f} s")
            stage.last(3.0)
            ballast.unlink()
            back = time.monotonic()
            wait_until(lambda: stage.system.edge.status("/readyz") == 200)
            row.at_most(time.monotonic() - back, 3.0, "ready again after, s")
            stage.wait_until_heard(100, calls=config.calls)
            stage.finish(row)
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")


@contextmanager
def _small_disk(directory: Path) -> Iterator[Path]:
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=False)


def _no_small_disk() -> str:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return "a small disk can only be mounted by root"
    return ""


FAULTS = [
    Fault("F9", "kill -9 Redis, restart with its data after 2 s", _restart_with_data),
    Fault("F10", "kill -9 Redis, restart empty after 2 s", _restart_empty),
    Fault("F10b", "Redis is flushed, and lives", _flush),
    Fault("F11", "Redis stands still for 3 s", _stand_still),
    Fault("F16", "5 % of the packets to and from Redis are lost", _lose_packets, _no_iptables),
    Fault("F18", "the disk of Redis is full", _fill_the_disk, _no_small_disk),
    Fault("F19", "the clock of Redis jumps a minute", _jump, _no_faketime),
]
