"""What an operator must know about the Redis behind a URL; asked with one short connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.errors import UsageError

__all__ = ["RedisFacts", "ask", "redacted"]

_TIMEOUT_S = 2.0


class RedisFacts(NamedTuple):
    """`eviction` is empty where the server does not tell, as some hosted ones."""

    software: str
    version: str
    eviction: str
    appends_to_file: bool


def ask(url: str) -> RedisFacts:
    """Raises UsageError, without the password, when nobody answers or lets us in."""
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        with client:
            return _facts(client.info("everything"))
    except (redis.RedisError, OSError, ValueError) as error:
        raise UsageError(f"cannot use the Redis at {redacted(url)}: {error}") from error


def redacted(url: str) -> str:
    """The URL as it may be shown: no password, no query (which may hold one)."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"


def _facts(info: Mapping[str, object]) -> RedisFacts:
    valkey = info.get("valkey_version")
    return RedisFacts(
        software="Valkey" if valkey else "Redis",
        version=str(valkey or info["redis_version"]),
        eviction=str(info.get("maxmemory_policy", "")),
        appends_to_file=info.get("aof_enabled") in (1, "1"),
    )
