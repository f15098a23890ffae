"""Three servers and three sentinels, and what calls notice of a failover."""

from __future__ import annotations

import time

from tests.redis_topologies import sentinel
from tests.system.chaos.config import Config, Needs
from tests.system.chaos.fault import Fault
from tests.system.chaos.row import Row
from tests.system.chaos.stage import Stage
from tests.system.processes import wait_until

__all__ = ["FAULTS"]

_LEAD_MS = 1500
_FAILOVER_S = 40.0


def _kill_the_primary(config: Config, row: Row) -> None:
    with sentinel() as trio, Stage(config, Needs(lead_ms=_LEAD_MS, sentinel=trio)) as stage:
        stage.talk()
        primary = trio.primary()
        primary.kill()
        began = time.monotonic()
        row.rounds += 1
        _wait_for_failover(stage, primary.port, began, row)
        stage.wait_until_heard(100, calls=config.calls)
        stage.finish(row)
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")


def _split(config: Config, row: Row) -> None:
    """The old primary wakes up and does not know that it is none any more."""
    with sentinel() as trio, Stage(config, Needs(lead_ms=_LEAD_MS, sentinel=trio)) as stage:
        stage.talk()
        primary = trio.primary()
        primary.pause()
        began = time.monotonic()
        row.rounds += 1
        try:
            _wait_for_failover(stage, primary.port, began, row)
            stage.last(max(0.0, began + 6.0 - time.monotonic()))
        finally:
            primary.resume()
        stage.wait_until_heard(150, calls=config.calls)
        stage.finish(row)
    row.expect(row.takeovers == 0, "calls changed hands though all workers lived")


def _wait_for_failover(stage: Stage, old_port: int, began: float, row: Row) -> None:
    trio = stage.needs.sentinel
    assert trio is not None
    wait_until(lambda: trio.primary().port != old_port, within_s=_FAILOVER_S)
    row.notes.append(f"failed over after {time.monotonic() - began:.1f} s")
    stage.system.redis.close()
    stage.system.redis = stage.connect()


FAULTS = [
    Fault("F12", "kill -9 the primary under sentinels", _kill_the_primary),
    Fault("F13", "the primary under sentinels stands still for 6 s", _split),
]
