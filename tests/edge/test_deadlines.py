"""The earlier of two deadlines."""

from __future__ import annotations

import pytest

from edge.deadlines import sooner


@pytest.mark.parametrize(
    ("one", "other", "earlier"),
    [(None, None, None), (1.0, None, 1.0), (None, 0.0, 0.0), (1.0, 2.0, 1.0), (2.0, 1.0, 1.0)],
)
def test_the_earlier_of_those_there_are(
    one: float | None, other: float | None, earlier: float | None
) -> None:
    assert sooner(one, other) == earlier
