"""Ports for processes that the tests start, which bind them a moment later.

Rule 1: below those that the kernel gives to clients, which might take one in between.
Rule 2: test processes that run side by side draw from different blocks: a block belongs to whoever
        holds the abstract Unix socket that is named after it, until that process ends.
Rule 3: 10,000 above each port lies another one that is free, for the bus of a cluster of Redis.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import socket
from collections.abc import Iterator

__all__ = ["HOST", "free_port", "free_ports"]

HOST = "127.0.0.1"

_FIRST = 10_001
_BLOCK = 400
_BLOCKS = 29
_BUS = 10_000


def free_port() -> int:
    """Nobody else among the tests is given it soon."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many neighbours."""
    while True:
        ports = [next(_ports()) for _ in range(count)]
        if ports[-1] - ports[0] == count - 1 and all(map(_is_free, ports)):
            return ports[0]


@functools.cache
def _ports() -> Iterator[int]:
    """Round and round through the block of this process."""
    first = _FIRST + _own_block() * _BLOCK
    return itertools.cycle(range(first, first + _BLOCK))


def _own_block() -> int:
    for block in random.sample(range(_BLOCKS), _BLOCKS):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0trunkline-tests-ports-{block}")
        except OSError:  # another process has it
            claim.close()
            continue
        claim.detach()  # never closed: the process' end gives it back
        return block
    raise AssertionError("more test processes at a time than blocks of ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, socket.socket() as bus, contextlib.suppress(OSError):
        for each, number in ((probe, port), (bus, port + _BUS)):
            # As servers do: connections that have just ended there are no obstacle.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((HOST, number))
        return True
    return False
