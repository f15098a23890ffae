from __future__ import annotations

import pytest

from common.errors import UsageError
from ops import redis_facts, redis_server


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@cache:6379/0", "redis://cache:6379/0"),
        ("rediss://user:s%40cret@cache/1?password=secret", "rediss://cache/1"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
        ("redis://cache", "redis://cache"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redis_facts.redacted(url) == shown


def test_a_server_tells_its_facts() -> None:
    binary = redis_server.find_binary()
    with redis_server.running(binary) as url:
        facts = redis_facts.ask(url)
    assert facts == ("Redis", binary.version, "noeviction", False)


@pytest.mark.parametrize(
    "url", ["redis://:secret@127.0.0.1:1/0", "unix:///no/such/socket", "redis:"]
)
def test_a_server_that_cannot_be_asked_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="cannot use the Redis at") as caught:
        redis_facts.ask(url)
    assert "secret" not in str(caught.value)
