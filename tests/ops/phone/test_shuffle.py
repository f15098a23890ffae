from __future__ import annotations

import pytest

from ops.phone.shuffle import WINDOW, Shuffle


def departures(seed: str, chunks: int) -> list[tuple[int, int]]:
    """When, and which."""
    shuffle = Shuffle(seed)
    return sorted(
        (number + delay, number) for number in range(chunks) for delay in shuffle.delays()
    )


def test_same_seed_is_the_same_disorder_and_another_is_another() -> None:
    assert departures("1/1", 200) == departures("1/1", 200)
    assert departures("1/1", 200) != departures("1/2", 200)
    assert departures("1/1", 200) != departures("2/1", 200)


@pytest.mark.parametrize("seed", ["1/1", "1/2", "9/7"])
def test_disorder_stays_within_the_window(seed: str) -> None:
    order = [number for _, number in departures(seed, 2000)]
    assert set(order) == set(range(2000))
    assert order != sorted(order)
    newest = -1
    for number in order:
        assert number > newest - WINDOW
        newest = max(newest, number)


def test_every_20th_chunk_leaves_twice() -> None:
    assert 2000 * 0.03 < len(departures("1/1", 2000)) - 2000 < 2000 * 0.07
