"""Who owns which call, from moment to moment: a thread that asks Redis all the time.

What changed hands is seen within one sample (`_SAMPLE_S`), so times measured here are right to
that. While Redis does not answer there is nothing to see, and nothing is invented.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

__all__ = ["Change", "Watch"]

_SAMPLE_S = 0.01
_TIMEOUT_S = 0.5

# KEYS: the dispatch stream; ARGV: what precedes an id in the key of a call.
_OWNERS = """
local owners = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  local id = entry[2][2]
  local token = redis.call('HGET', ARGV[1] .. id, 'token')
  if token then
    owners[#owners + 1] = id
    owners[#owners + 1] = token
  end
end
return owners
"""


class Change(NamedTuple):
    """From `at_ns` on (monotonic) the call had this owner; '' is nobody."""

    at_ns: int
    worker: str
    token: str


class Watch:
    """`where` tells where Redis is now; it is asked again whenever Redis does not answer."""

    def __init__(self, where: Callable[[], str], tags: list[str]) -> None:
        self._where = where
        self._client = _connect(where())
        self._tags = tags
        self._changes: dict[str, list[Change]] = defaultdict(list)
        self._owners: dict[str, str] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def owners(self) -> dict[str, str]:
        """The calls that are on, and the worker of each ('': nobody)."""
        return {call: token.partition(":")[0] for call, token in self._owners.items()}

    def owned_by(self, worker: str) -> list[str]:
        return [call for call, owner in self.owners().items() if owner == worker]

    def changes(self, call: str, *, since_ns: int = 0) -> list[Change]:
        return [change for change in list(self._changes[call]) if change.at_ns >= since_ns]

    def takeovers(self, *, since_ns: int = 0) -> int:
        """How often a call that had an owner got another one."""
        count = 0
        for changes in list(self._changes.values()):
            owned = [change for change in list(changes) if change.worker]
            count += sum(a.worker != b.worker and b.at_ns >= since_ns for a, b in pairwise(owned))
        return count

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._is_over.wait(_SAMPLE_S):
            try:
                self._sample()
            except redis.RedisError:
                self._look_again()

    def _look_again(self) -> None:
        self._owners = {}
        self._client.close()
        with suppress(redis.RedisError):
            self._client = _connect(self._where())

    def _sample(self) -> None:
        seen: dict[str, str] = {}
        for tag in self._tags:
            reply = self._client.eval(_OWNERS, 1, f"{tag}:calls", f"{tag}:call:")
            assert isinstance(reply, list)
            seen.update(zip(reply[::2], reply[1::2], strict=True))
        now = time.monotonic_ns()
        for call, token in seen.items():
            changes = self._changes[call]
            if not changes or changes[-1].token != token:
                changes.append(Change(now, token.partition(":")[0], token))
        self._owners = seen


def _connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, retry=Retry(NoBackoff(), 0), socket_timeout=_TIMEOUT_S, decode_responses=True
    )
