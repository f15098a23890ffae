from __future__ import annotations

from collections.abc import Callable

from tests.workers.calls import LANE, Rig
from workers.agent import Agent
from workers.ownership.owned_call import OwnedCall


async def test_a_call_taken_again_is_another_call(rig: Callable[..., Rig]) -> None:
    """What the first ownership leaves behind must not be taken for the second's."""
    keys, runner = LANE.keys("c1"), rig(Agent).runner
    first, second = OwnedCall(keys, "w:1", "edge", runner), OwnedCall(keys, "w:2", "edge", runner)
    assert first != second
    assert len({first, second}) == 2
