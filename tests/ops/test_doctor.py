from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest
import redis as redis_py

from ops import doctor, redis_facts, redis_server
from ops.findings import Finding, Level
from ops.redis_facts import RedisFacts, ServerFacts
from tests.redis_topologies import cluster, sentinel
from workers.audio import amr_wb


@pytest.fixture
def private_redis() -> Iterator[str]:
    """A server whose configuration a test may change."""
    with redis_server.running(redis_server.find_binary()) as url:
        yield url


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "TRUNKLINE_AGENT", "TRUNKLINE_TEST_REDIS"):
        monkeypatch.delenv(name, raising=False)


def findings(level: Level, **environ: str) -> list[str]:
    """But for the codec that a machine may lack."""
    return [
        f"{finding.subject}: {finding.text}"
        for finding in doctor.examine(environ)
        if finding.level is level and finding.subject != "codec"
    ]


def test_a_sound_machine_has_no_failures(private_redis: str) -> None:
    assert findings(Level.FAIL, REDIS_URL=private_redis) == []
    assert findings(Level.FAIL) == []


def test_all_faults_of_all_settings_are_reported() -> None:
    failed = findings(
        Level.FAIL, TRUNKLINE_PORT="x", TRUNKLINE_LANES="0", TRUNKLINE_WORKER_CALLS="-1"
    )
    assert [text.split(":")[1].strip() for text in failed] == [
        "TRUNKLINE_LANES",
        "TRUNKLINE_PORT",
        "TRUNKLINE_WORKER_CALLS",
    ]


def test_an_unknown_variable_is_reported_with_the_closest_setting() -> None:
    warned = findings(Level.WARN, TRUNKLINE_WORKER_CALL="3", TRUNKLINE_ZZZ="1", PATH="")
    assert any("did you mean TRUNKLINE_WORKER_CALLS?" in text for text in warned)
    assert any("TRUNKLINE_ZZZ is unknown; it has no effect" in text for text in warned)


def test_the_variables_of_the_supervisor_file_are_known() -> None:
    assert findings(Level.WARN, TRUNKLINE_EDGES="2", TRUNKLINE_RUN_DIR="/run/trunkline") == []


def test_an_unknown_agent_fails() -> None:
    assert any("nobody" in text for text in findings(Level.FAIL, TRUNKLINE_AGENT="nobody"))


def test_a_redis_that_evicts_fails_and_one_that_forgets_warns(private_redis: str) -> None:
    with redis_py.Redis.from_url(private_redis) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        failed = findings(Level.FAIL, REDIS_URL=private_redis)
        assert failed == [
            "redis: maxmemory-policy is allkeys-lru, which drops live calls: set noeviction"
        ]
        assert any(
            "appendonly is off" in text for text in findings(Level.WARN, REDIS_URL=private_redis)
        )


def test_an_append_only_file_satisfies(private_redis: str) -> None:
    with redis_py.Redis.from_url(private_redis) as client:
        client.config_set("appendonly", "yes")
        assert findings(Level.WARN, REDIS_URL=private_redis) == []


def test_a_redis_that_is_away_fails_without_showing_its_password() -> None:
    url = "redis://user:secret@127.0.0.1:1/0"
    (text,) = findings(Level.FAIL, REDIS_URL=url)
    assert "redis://127.0.0.1:1/0" in text
    assert "secret" not in text


def test_what_a_user_may_do_is_told_or_said_to_be_unknown(private_redis: str) -> None:
    divider = "&" if "?" in private_redis else "?"
    url = f"{private_redis}{divider}username=somebody&password=secret"
    runbook = "ops/runbook.md has the ACL"
    with redis_py.Redis.from_url(private_redis) as admin:

        def told(level: Level, *rules: str) -> list[str]:
            user = ("ACL", "SETUSER", "somebody", "reset", "on", ">secret", "~*", "+@all")
            admin.execute_command(*user, *rules)
            return [text for text in findings(level, REDIS_URL=url) if runbook in text]

        assert told(Level.FAIL) == told(Level.WARN) == []
        (refused,) = told(Level.FAIL, "-xadd")
        assert "+xadd" in refused
        (unknown,) = told(Level.WARN, "-multi")
        assert "does not tell what its user may do" in unknown
        assert told(Level.FAIL, "-info") == []
        assert any("may not use INFO" in text for text in findings(Level.WARN, REDIS_URL=url))


def test_a_url_that_is_wrong_is_told_once() -> None:
    (text,) = findings(Level.FAIL, REDIS_URL="redis+sentinel://user:secret@a,b")
    assert text.startswith("settings: REDIS_URL: expected the service")


def test_sentinels_over_a_primary_that_keeps_nothing() -> None:
    with sentinel() as trio:
        sound = findings(Level.OK, REDIS_URL=trio.url)
        assert findings(Level.FAIL, REDIS_URL=trio.url) == []
        (warning,) = findings(Level.WARN, REDIS_URL=trio.url)
    assert f"redis: 3 sentinels watch 127.0.0.1:{trio.nodes[0].port}" in sound
    assert "appendonly is off" in warning


def test_a_cluster_and_how_its_lanes_are_spread() -> None:
    with cluster(settings={"appendonly": "yes"}) as shards:
        warnings = findings(Level.WARN, REDIS_URL=shards.url)
        assert warnings[0] == (
            "redis: TRUNKLINE_LANES is 1, so that all calls use one shard of 3; set it to 24,"
            " everywhere"
        )
        spread = findings(Level.OK, REDIS_URL=shards.url, TRUNKLINE_LANES="24")
        assert any(text.startswith("redis: lanes: ") for text in spread)
        shards.nodes[1].kill()
        failed = findings(Level.FAIL, REDIS_URL=shards.url)
    assert any(f"127.0.0.1:{shards.nodes[1].port}" in text for text in failed)


def test_an_old_redis_and_an_old_package_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    old = RedisFacts("redis://elsewhere", (ServerFacts("elsewhere:6379", version="6.0.16"),))
    monkeypatch.setattr(redis_facts, "ask", lambda url: old)
    monkeypatch.setattr("importlib.metadata.version", lambda package: "1.2.3")
    failed = findings(Level.FAIL, REDIS_URL="redis://elsewhere")
    assert failed[0] == "redis: Redis 6.0.16 at redis://elsewhere: upgrade to 6.2 or newer"
    assert "package: aiohttp 1.2.3 is too old; run: pip install 'aiohttp>=3.14.5'" in failed


def test_a_slow_aiohttp_is_a_warning() -> None:
    (text,) = findings(Level.WARN, AIOHTTP_NO_EXTENSIONS="1")
    assert "C extensions" in text


def test_a_codec_that_the_machine_lacks_is_a_warning_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(amr_wb, "LIBRARY", "libnothing.so.0")
    amr_wb._library.cache_clear()
    try:
        (found,) = [finding for finding in doctor.examine({}) if finding.subject == "codec"]
    finally:
        amr_wb._library.cache_clear()
    assert found.level is Level.WARN
    assert found.text.startswith("AMR-WB cannot be encoded: install Debian's libvo-amrwbenc0 (")
    assert found.text.endswith("or calls in it end at their start")


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_only_a_failure_makes_the_exit_code_1(
    level: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [Finding(Level.OK, "agent", "echo"), Finding(Level(level), "redis", "what to fix")]
    monkeypatch.setattr(doctor, "examine", lambda environ: found)
    assert doctor.run(argparse.Namespace()) == code
    assert capsys.readouterr().out.splitlines()[1] == f"{level:<4}  redis     what to fix"
