from __future__ import annotations

import pytest

from workers.ownership.vigilance import Vigilance

LEASE_S = 1.0
EDGE_LEASE_S = 5.0


class Watch:
    """A worker that renews its lease five times a second, Redis' clock running as ours."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now
        self.redis_ms = 1_000_000
        self.vigilance = Vigilance(lease_s=LEASE_S, edge_lease_s=EDGE_LEASE_S, now=now)

    def renew(self, *, for_s: float, answer_s: float = 0.001) -> None:
        end = self.now + for_s
        while self.now < end:
            self.vigilance.renewed(
                sent_at=self.now, answered_at=self.now + answer_s, now_ms=self.redis_ms
            )
            self.now += 0.2
            self.redis_ms += 200

    @property
    def judges(self) -> tuple[bool, bool]:
        """Workers, edges."""
        return (
            self.vigilance.may_judge_workers(now=self.now),
            self.vigilance.may_judge_edges(now=self.now),
        )


def test_a_new_worker_looks_round_before_it_judges() -> None:
    watch = Watch()
    assert watch.judges == (False, False)
    watch.renew(for_s=0.6)
    assert watch.judges == (True, False)
    watch.renew(for_s=5.0)
    assert watch.judges == (True, True)


def test_after_redis_was_away_everybody_gets_the_time_to_come_back() -> None:
    watch = Watch()
    watch.renew(for_s=10.0)
    watch.vigilance.failed(now=watch.now)
    assert watch.judges == (False, False)
    watch.renew(for_s=1.7)
    assert watch.judges == (False, False)
    watch.renew(for_s=0.4)
    assert watch.judges == (True, False)
    watch.renew(for_s=3.0)
    assert watch.judges == (True, True)


def test_an_answer_that_took_long_is_a_break() -> None:
    watch = Watch()
    watch.renew(for_s=10.0)
    watch.renew(for_s=0.2, answer_s=0.3)
    assert watch.judges == (False, False)


@pytest.mark.parametrize("jump_ms", [60_000, -60_000, 300, -300])
def test_a_jump_of_redis_clock_is_a_break(jump_ms: int) -> None:
    watch = Watch()
    watch.renew(for_s=10.0)
    watch.redis_ms += jump_ms
    watch.renew(for_s=0.2)
    assert watch.judges == (False, False)
    watch.renew(for_s=2.2)
    assert watch.judges[0]


def test_our_own_delays_are_no_break() -> None:
    """Both clocks went on while this process stood still."""
    watch = Watch()
    watch.renew(for_s=10.0)
    watch.now += 3.0
    watch.redis_ms += 3000
    watch.renew(for_s=0.2)
    assert watch.judges == (True, True)
