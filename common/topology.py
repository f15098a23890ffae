"""Where is the server of this lane now?

One server is where it is. Sentinels name the primary of their service. A cluster is asked which
node serves the lane's slot: all keys of a lane share one hash tag, so one slot, so one node.

Rule 1: asked again for every new connection. What was true for the last one is why it broke.
Rule 2: who answered is asked first the next time; whose answer was of no use, last. A sentinel or
        a node that was cut off from the others believes in a primary that is no more.
Rule 3: every one that is asked has its own time, so that one black hole does not hide the rest.
"""

from __future__ import annotations

import binascii
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from common.connection import Connection, Reply, Request
from common.errors import LinkError, ReplyError
from common.keys import Lane
from common.redis_url import Access, Address, Kind, RedisUrl

__all__ = ["SLOTS", "Place", "place_of", "slot_of"]

SLOTS = 16384
_TIMEOUT_S = 0.4


class Place(ABC):
    """`seeds` are who can be asked."""

    def __init__(self, seeds: Sequence[Address], access: Access) -> None:
        self._circle = deque(seeds)
        self._access = access

    @abstractmethod
    async def find(self) -> Address:
        """Where the server is. Raises LinkError when nobody knows."""

    def doubt(self) -> None:
        """Where `find` said last there was no server, or not the right one."""
        self._circle.rotate(-1)

    async def _ask(self, request: Request) -> tuple[Address, Reply]:
        """Who answered and what: the first one that knows something."""
        reason = ""
        for address in tuple(self._circle):
            try:
                reply = await _ask_one(address, self._access, request)
            except LinkError as error:
                reason = f"{address}: {error}"
                continue
            if not reply or isinstance(reply, ReplyError):
                reason = f"{address}: {reply or 'does not know'}"
                continue
            self._circle.remove(address)
            self._circle.appendleft(address)
            return address, reply
        raise LinkError(f"nobody says where Redis is; last asked was {reason}")


class OneServer(Place):
    async def find(self) -> Address:
        return self._circle[0]


class PrimaryOfService(Place):
    def __init__(self, url: RedisUrl) -> None:
        super().__init__(url.seeds, url.sentinel_access)
        self._question = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", url.service)

    async def find(self) -> Address:
        _, (host, port) = await self._ask(self._question)
        return Address(host.decode(), int(port))


class PrimaryOfSlot(Place):
    """The node found last is asked as well, and first: when it says that the slot has moved, the
    others may not have heard of it yet."""

    def __init__(self, url: RedisUrl, slot: int) -> None:
        super().__init__(url.seeds, url.access)
        self._slot = slot
        self._guest: Address | None = None

    async def find(self) -> Address:
        asked, ranges = await self._ask((b"CLUSTER", b"SLOTS"))
        for first, last, (host, port, *_), *_replicas in ranges:
            if first <= self._slot <= last:
                # A node that does not know its own name yet is the one that was asked.
                is_unnamed = host in (None, b"", b"?")
                found = Address(asked.host if is_unnamed else host.decode(), port)
                self._welcome(found)
                return found
        self.doubt()
        raise LinkError(f"no node of the cluster serves slot {self._slot}")

    def _welcome(self, found: Address) -> None:
        if found in self._circle:
            self._circle.remove(found)
        elif self._guest is not None:
            self._circle.remove(self._guest)
            self._guest = found
        else:
            self._guest = found
        self._circle.appendleft(found)


def place_of(url: RedisUrl, lane: Lane | None) -> Place:
    """`lane` may be None where there is no cluster."""
    if url.kind is Kind.SINGLE:
        return OneServer(url.seeds, url.access)
    if url.kind is Kind.SENTINEL:
        return PrimaryOfService(url)
    if lane is None:
        raise ValueError("whoever talks to a cluster must say for which lane")
    return PrimaryOfSlot(url, slot_of(lane))


def slot_of(lane: Lane) -> int:
    """CRC16 (XMODEM) of what stands between the braces, as Redis Cluster's specification says."""
    return binascii.crc_hqx(lane.tag.strip("{}").encode(), 0) % SLOTS


async def _ask_one(address: Address, access: Access, request: Request) -> Reply:
    connection = Connection(address, access)
    try:
        async with connection.within(_TIMEOUT_S):
            await connection.open()
            (reply,) = await connection.exchange([request])
    finally:
        await connection.close()
    return reply
