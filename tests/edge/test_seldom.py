from __future__ import annotations

import logging
from typing import Any

import pytest

from edge.seldom import Seldom

LOG = logging.getLogger(__name__)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seldom(clock: Clock, caplog: pytest.LogCaptureFixture) -> Seldom:
    caplog.set_level(logging.INFO)
    return Seldom(LOG, every_s=10.0, clock=clock)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    lines = [vars(record) for record in caplog.records]
    return [(line["message"], line["reason"], line["times"]) for line in lines]


def test_first_of_a_kind_is_told_at_once_with_its_facts(
    seldom: Seldom, caplog: pytest.LogCaptureFixture
) -> None:
    seldom.info("messages ignored", "malformed", call="c1")
    assert told(caplog) == [("messages ignored", "malformed", 1)]
    assert vars(caplog.records[0])["call"] == "c1"


def test_flood_is_one_line_a_while_and_none_goes_uncounted(
    seldom: Seldom, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2501):
        seldom.info("messages ignored", "malformed", times=2)
        clock.now += 1 / 128
    assert [times for _, _, times in told(caplog)] == [2, 2560]


def test_one_kind_does_not_silence_another(
    seldom: Seldom, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        seldom.info("messages ignored", "malformed")
        seldom.info("messages ignored", "no_id")
        seldom.info("call refused", "malformed")
    assert told(caplog) == [
        ("messages ignored", "malformed", 1),
        ("messages ignored", "no_id", 1),
        ("call refused", "malformed", 1),
    ]
