"""What doctor says of this with real servers, `tests/system/test_redis_access.py` tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from common.errors import UsageError
from common.keys import Lane, lanes
from common.scripts import SCRIPTS
from ops.redis_permissions import NEEDED, missing

LANE = lanes("may", 1)[0]
RUNBOOK = Path(__file__).parents[2] / "ops" / "runbook.md"


class Users:
    def __init__(self, admin: Any, url: str) -> None:
        self._admin = admin
        divider = "&" if "?" in url else "?"
        self.url = f"{url}{divider}username=somebody&password=secret"

    def allow(self, *rules: str) -> None:
        self._admin.execute_command(
            "ACL", "SETUSER", "somebody", "reset", "on", ">secret", "-@all", *rules
        )


@pytest.fixture
def users(redis_url: str) -> Iterator[Users]:
    with Redis.from_url(redis_url) as admin:
        yield Users(admin, redis_url)
        admin.execute_command("ACL", "DELUSER", "somebody")


def keys_of(lane: Lane) -> str:
    return f"~{lane.tag}:*"


def everything_at_hand(*but: str) -> list[str]:
    return [*(rule for rule in NEEDED if rule not in but), "+multi", "+discard", "+select"]


def test_user_who_may_do_everything_lacks_nothing(users: Users) -> None:
    users.allow("+@all", "~*")
    assert missing(users.url, LANE) == []


def test_user_who_may_do_what_is_needed_lacks_nothing(users: Users) -> None:
    users.allow(*everything_at_hand(), keys_of(LANE))
    assert missing(users.url, LANE) == []


@pytest.mark.parametrize("rule", NEEDED)
def test_whatever_is_lacking_is_found(users: Users, rule: str) -> None:
    users.allow(*everything_at_hand(rule), keys_of(LANE))
    assert missing(users.url, LANE) == [rule]


def test_other_keys_than_ours_are_told_apart_from_commands(users: Users) -> None:
    users.allow(*everything_at_hand("+hset"), "~{other:*}:*")
    assert missing(users.url, LANE) == [keys_of(LANE), "+hset"]


def test_nothing_is_known_where_transactions_are_not_allowed(users: Users, redis_url: str) -> None:
    users.allow(*NEEDED, "+select", keys_of(LANE))
    assert missing(users.url, LANE) is None


def test_nothing_is_changed(users: Users, redis_url: str) -> None:
    users.allow("+@all", "~*")
    with Redis.from_url(redis_url) as admin:
        stream, hashed, leases = LANE.calls, LANE.keys("doctor").call, LANE.workers
        admin.xadd(stream, {"e": "x"})
        admin.hset(hashed, "f", "1")
        admin.zadd(leases, {"doctor": 5})
        before = [admin.dump(key) for key in (stream, hashed, leases)]
        missing(users.url, LANE)
        assert [admin.dump(key) for key in (stream, hashed, leases)] == before
        assert admin.pttl(hashed) == -1


def test_server_that_does_not_let_us_in_is_told_of(users: Users) -> None:
    users.allow("+@all", "~*")
    with pytest.raises(UsageError, match="invalid username-password pair") as caught:
        missing(users.url.replace("secret", "geheim"), LANE)
    assert "geheim" not in str(caught.value)


def test_every_command_of_the_scripts_is_among_them() -> None:
    called = re.compile(rb"redis\.p?call\('([A-Z]+)'")
    commands = {
        name.decode().lower()
        for script in SCRIPTS.values()
        for name in called.findall(script.source)
    }
    assert commands <= {rule.removeprefix("+") for rule in NEEDED}


def test_runbook_names_them() -> None:
    assert " ".join(NEEDED) in " ".join(RUNBOOK.read_text().split())
