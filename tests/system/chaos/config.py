"""What a run is made of: what its user chooses, and what the fault needs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.redis_topologies import Sentinel
from tests.system.chaos.own_redis import Options

__all__ = ["APART", "Config", "Needs"]

#: Callers from this number on are the fault themselves: the row does not count what they lose.
APART = 10_001


class Config(NamedTuple):
    """What the user of the harness chooses. `directory` keeps the logs of each run."""

    calls: int
    rounds: int
    directory: Path

    @property
    def is_brief(self) -> bool:
        """Of a fault in two variants, the sharper one will do."""
        return self.rounds < 10


class Needs(NamedTuple):
    """What a fault needs. `proxied`: which kind of process reaches Redis through a proxy.
    `redis_port`: reach our own Redis by TCP; `sentinel`: not our own, but these."""

    workers: int = 3
    edges: int = 1
    lead_ms: int = 0
    clear_every: int = 0
    proxied: str = ""
    redis: Options = Options()
    sentinel: Sentinel | None = None
    redis_port: int = 0
    edge: tuple[tuple[str, str], ...] = ()
    worker: tuple[tuple[str, str], ...] = ()
    providers: tuple[str, ...] = ()
    redials: bool = False
