"""Processes that come, go and stand still while calls are on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ops import redis_server
from tests.system.processes import System, running, wait_until

OUTAGE_S = 1.0
#: Far less than a drain may take.
AT_ONCE_S = 15.0


def test_without_a_worker_a_call_is_closed_1013(system: System) -> None:
    system.start(workers=0, edge={"TRUNKLINE_TAKE_TIMEOUT_S": "0.3"})
    call = system.phone("twilio", "--seconds", "5").call(exits=1)
    assert call.close_code == 1013
    assert call.frames_sent < 5 * 50
    system.wait_until_no_call_is_left()
    ended = system.edge.metric("trunkline_edge_calls_ended_total", reason="not_taken")
    assert ended == 1


def test_a_call_waits_for_the_first_worker(system: System) -> None:
    system.start(workers=0, edge={"TRUNKLINE_TAKE_TIMEOUT_S": "60"})
    phone = system.phone("twilio", "--seconds", "0.8", "--expect", "echo")
    system.wait_until_live(1)
    system.start_worker()
    assert phone.call().behaved
    system.wait_until_no_call_is_left()


def test_a_stopping_edge_lets_calls_end_and_closes_the_rest_1012(system: System) -> None:
    system.start(edge={"TRUNKLINE_DRAIN_TIMEOUT_S": "6"})
    long = system.phone("mesmer", "--seconds", "30")
    system.wait_until_live(1)
    short = system.phone("twilio", "--seconds", "1.5", "--expect", "echo")
    system.wait_until_live(2)
    system.edge.terminate()
    wait_until(lambda: system.edge.status("/readyz") != 200)

    assert "refused" in system.phone("twilio").error(exits=1)
    assert short.call().behaved
    call = long.call(exits=1)
    assert (call.ending, call.close_code) == ("closed by the edge", 1012)
    assert call.frames_sent < 30 * 50
    assert system.edge.exit_code() == 0
    system.wait_until_no_call_is_left()


def test_a_stopping_edge_without_calls_ends_at_once(system: System) -> None:
    system.start(workers=0)
    system.edge.terminate()
    assert system.edge.exit_code(within_s=AT_ONCE_S) == 0


def test_two_workers_share_the_calls_and_one_that_stops_hands_its_own_over(
    system: System,
) -> None:
    system.start(workers=2)
    first, second = system.workers
    phone = system.phone("twilio", "--calls", "8", "--seconds", "4", "--expect", "echo")
    system.wait_until_live(8)
    wait_until(lambda: sum(each.metric("trunkline_worker_calls") for each in system.workers) == 8)
    taken = [each.metric("trunkline_worker_calls_taken_total") for each in system.workers]
    assert min(taken) >= 2

    first.terminate()
    late = system.phone("mesmer", "--seconds", "0.5", "--expect", "echo")
    assert late.call().behaved
    total = phone.report().total
    assert (total.calls_behaved, total.frames_lost, total.frames_repeated) == (8, 0, 0)
    assert first.exit_code() == 0
    assert second.is_running
    system.wait_until_no_call_is_left()
    assert not system.complaints()


def test_a_stopping_worker_without_calls_ends_at_once_and_leaves_no_trace(system: System) -> None:
    system.start()
    system.worker.terminate()
    assert system.worker.exit_code(within_s=AT_ONCE_S) == 0
    key = f"{{{system.namespace}:0}}:calls"
    assert system.redis.xinfo_consumers(key, "workers") == []
    assert not system.keys_of_calls()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[str]:
    """A server of this test's own, because it is to be stopped."""
    with redis_server.running(redis_server.find_binary()) as url:
        yield url


def test_redis_standing_still_for_a_second_costs_nothing(own_redis: str, tmp_path: Path) -> None:
    with running(own_redis, tmp_path) as system:
        system.start()
        phone = system.phone("twilio,mesmer", "--calls", "2", "--seconds", "3", "--expect", "echo")
        system.wait_until_live(4)
        wait_until(lambda: system.worker.metric("trunkline_worker_calls") == 4)
        with redis.Redis.from_url(own_redis) as client:
            pid = int(client.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(OUTAGE_S)  # not a wait for anything: how long Redis is away
        finally:
            os.kill(pid, signal.SIGCONT)
        total = phone.report().total
        assert (total.calls_behaved, total.frames_lost, total.frames_repeated) == (4, 0, 0)
        assert total.frames_out_of_order == 0
        assert total.frames_heard == total.frames_sent == 4 * 3 * 50
        # A bit more than the outage was silent, and nothing was skipped to make up for it.
        assert total.gap_longest_ms > OUTAGE_S * 1000 / 2
        system.wait_until_no_call_is_left()
