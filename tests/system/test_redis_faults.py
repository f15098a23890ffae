"""Redis goes away, comes back as another server, or refuses to write, while callers talk.

Most of it is the edge alone, without a worker: what its callers said must be in the streams, all
of it and in order. A stream that nobody reads is a stream that nobody trims.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.events import AudioReceived, CallEnded, CallStarted, EndReason, Event
from common.wire import decode_event
from ops import redis_server
from tests.system.chaos.own_redis import Options, OwnRedis
from tests.system.processes import System, running, wait_as_promised, wait_until

AWAY_S = 2.0
CALLS = 20
CALL_S = 4
PATIENT = {"TRUNKLINE_TAKE_TIMEOUT_S": "60"}


@pytest.fixture
def directory() -> Iterator[Path]:
    with redis_server.fresh_directory() as directory:
        yield directory


@pytest.fixture
def own_redis(directory: Path) -> Iterator[OwnRedis]:
    """Keeps what is written, over a restart, until it is emptied."""
    server = OwnRedis(directory, Options(aof=True))
    yield server
    server.close()


@pytest.fixture
def system(own_redis: OwnRedis, tmp_path: Path) -> Iterator[System]:
    with running(own_redis.url, tmp_path) as system:
        yield system.start(workers=0, edge=PATIENT)


def be_away(server: OwnRedis, system: System) -> None:
    """Kill it and keep it away; the edge notices, and says so in time."""
    server.kill()
    wait_as_promised(lambda: system.edge.status("/readyz") == 503, system.edge, within_s=1.0)
    time.sleep(AWAY_S)  # not a wait for anything: how long Redis is away
    assert system.edge.status("/healthz") == 200


def streams(system: System) -> list[list[Event]]:
    """The events of every call; their ids leave no gap."""
    told = []
    for key in system.redis.scan_iter(match=f"{{{system.namespace}:0}}:in:*", count=1000):
        entries: Any = system.redis.xrange(key)
        assert [entry_id for entry_id, _ in entries] == [
            b"%d-0" % (number + 1) for number in range(len(entries))
        ]
        told.append([decode_event(fields[b"e"]).event for _, fields in entries])
    return told


def assert_nothing_was_lost(system: System, frames_sent: int) -> None:
    """Redis has everything that the phones said in `CALLS` calls."""
    wait_until(lambda: all(isinstance(call[-1], CallEnded) for call in streams(system)))
    calls = streams(system)
    assert len(calls) == CALLS
    assert system.unfinished() == CALLS
    frames = 0
    for start, *audio, _ in calls:
        assert isinstance(start, CallStarted)
        numbers = [event.sequence for event in audio if isinstance(event, AudioReceived)]
        assert numbers == list(range(1, len(audio) + 1))
        frames += len(numbers)
    assert frames == frames_sent


def save(system: System, outcome: str) -> None:
    """Have Redis write its data to the disk, which is to end so."""
    system.redis.bgsave()
    wait_until(lambda: system.redis.info("persistence")["rdb_last_bgsave_status"] == outcome)


def reannounced(system: System) -> float:
    return system.edge.metric("trunkline_edge_reannounced_total")


@pytest.mark.parametrize("comes_back", ["with what it had", "empty"])
def test_redis_that_comes_back_is_given_what_it_lacks(
    own_redis: OwnRedis, system: System, comes_back: str
) -> None:
    phone = system.phone("twilio", "--calls", str(CALLS), "--seconds", str(CALL_S))
    system.wait_until_live(CALLS)
    be_away(own_redis, system)
    if comes_back == "empty":
        own_redis.empty()
    own_redis.start()
    wait_as_promised(lambda: reannounced(system) == CALLS, system.edge, within_s=1.5)
    wait_as_promised(lambda: system.edge.status("/readyz") == 200, system.edge, within_s=1.0)
    total = phone.report().total
    assert (total.calls_behaved, total.frames_sent) == (CALLS, CALLS * CALL_S * 50)
    assert_nothing_was_lost(system, total.frames_sent)
    if comes_back == "empty":
        assert system.edge.metric("trunkline_edge_events_replayed_total") > CALLS * AWAY_S * 50


def test_callers_who_hang_up_while_redis_is_away_are_heard_of_afterwards(
    own_redis: OwnRedis, system: System
) -> None:
    phone = system.phone("twilio", "--calls", str(CALLS), "--seconds", str(CALL_S))
    system.wait_until_live(CALLS)
    own_redis.kill()
    total = phone.report().total
    assert total.calls_behaved == CALLS
    wait_until(lambda: system.live_calls() == 0)
    own_redis.empty()
    own_redis.start()
    wait_until(lambda: len(streams(system)) == CALLS)
    assert_nothing_was_lost(system, total.frames_sent)


def test_redis_that_is_made_a_replica_for_a_while_loses_nothing(system: System) -> None:
    """As in a failover that is taken back: writes are refused, and it is another one after."""
    phone = system.phone("twilio", "--calls", str(CALLS), "--seconds", str(CALL_S))
    system.wait_until_live(CALLS)
    system.redis.replicaof("127.0.0.1", 1)
    wait_as_promised(lambda: system.edge.status("/readyz") == 503, system.edge, within_s=1.0)
    system.redis.replicaof("NO", "ONE")
    wait_as_promised(lambda: system.edge.status("/readyz") == 200, system.edge, within_s=2.0)
    total = phone.report().total
    assert total.calls_behaved == CALLS
    assert_nothing_was_lost(system, total.frames_sent)
    assert reannounced(system) == CALLS


def test_redis_whose_disk_is_full_refuses_calls_and_keeps_those_that_live(
    system: System, directory: Path
) -> None:
    """It answers a PING of old, but whoever cannot be written to cannot serve."""
    phone = system.phone("twilio", "--calls", str(CALLS), "--seconds", str(CALL_S))
    system.wait_until_live(CALLS)
    in_the_way = directory / "dump.rdb"
    (in_the_way / "full").mkdir(parents=True)
    system.redis.config_set("save", "3600 1000000")
    save(system, "err")
    wait_as_promised(lambda: system.edge.status("/readyz") == 503, system.edge, within_s=1.0)
    assert system.live_calls() == CALLS
    shutil.rmtree(in_the_way)
    save(system, "ok")
    wait_as_promised(lambda: system.edge.status("/readyz") == 200, system.edge, within_s=2.0)
    total = phone.report().total
    assert total.calls_behaved == CALLS
    assert_nothing_was_lost(system, total.frames_sent)
    assert reannounced(system) == 0


@pytest.mark.parametrize("comes_back", ["with what it had", "empty"])
def test_echo_goes_on_after_redis_has_come_back(
    own_redis: OwnRedis, tmp_path: Path, comes_back: str
) -> None:
    """Every frame of every caller comes back once, in order, however late."""
    with running(own_redis.url, tmp_path) as system:
        system.start(workers=2)
        phone = system.phone("twilio", "--calls", str(CALLS), "--seconds", "6", "--expect", "echo")
        system.wait_until_live(CALLS)
        be_away(own_redis, system)
        if comes_back == "empty":
            own_redis.empty()
        own_redis.start()
        total = phone.report().total
        assert (total.frames_lost, total.frames_repeated) == (0, 0)
        assert (total.frames_out_of_order, total.frames_unknown) == (0, 0)
        assert total.calls_behaved == CALLS
        system.wait_until_no_call_is_left()


def test_outage_that_lasts_too_long_ends_calls_1011(own_redis: OwnRedis, tmp_path: Path) -> None:
    with running(own_redis.url, tmp_path) as system:
        system.start(workers=0, edge={**PATIENT, "TRUNKLINE_OUTAGE_TIMEOUT_S": "1"})
        phone = system.phone("twilio", "--seconds", "10")
        system.wait_until_live(1)
        own_redis.kill()
        call = phone.call(exits=1)
        assert call.close_code == 1011
        assert 40 <= call.frames_sent < 9 * 50
        own_redis.start()
        wait_until(lambda: reannounced(system) == 1)
        wait_until(lambda: [isinstance(call[-1], CallEnded) for call in streams(system)] == [True])
        ((*_, ended),) = streams(system)
        assert ended == CallEnded(EndReason.EDGE_FAILED, "no storage")


def test_edge_that_is_killed_lets_its_lease_run_out(own_redis: OwnRedis, tmp_path: Path) -> None:
    with running(own_redis.url, tmp_path) as system:
        system.start(workers=0, edge={"TRUNKLINE_EDGE_LEASE_MS": "1000"})
        edges = f"{{{system.namespace}:0}}:edges"

        def left_ms() -> float:
            at_one_moment = system.redis.pipeline()
            at_one_moment.time()
            at_one_moment.zrange(edges, 0, -1, withscores=True)
            (seconds, microseconds), ((_, ends_at),) = at_one_moment.execute()
            return float(ends_at - seconds * 1000 - microseconds / 1000)

        wait_until(lambda: system.redis.zcard(edges) == 1)
        wait_until(lambda: 0 < left_ms() <= 1000)
        system.edge.kill()
        assert left_ms() <= 1000
        wait_until(lambda: left_ms() < 0)


def test_edge_that_stops_takes_its_lease_with_it(own_redis: OwnRedis, tmp_path: Path) -> None:
    with running(own_redis.url, tmp_path) as system:
        system.start(workers=0)
        edges = f"{{{system.namespace}:0}}:edges"
        wait_until(lambda: system.redis.zcard(edges) == 1)
        system.edge.terminate()
        assert system.edge.exit_code() == 0
        assert system.redis.zcard(edges) == 0
