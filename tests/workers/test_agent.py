from __future__ import annotations

from collections.abc import Callable

import pytest

from common.events import DtmfReceived, Event, MarkReached, ProviderFailed
from tests.workers.calls import ENDED, STARTED, Rig, audio
from workers.agent import Agent

OpenRig = Callable[..., Rig]


@pytest.mark.parametrize(
    "event",
    [STARTED, audio(), DtmfReceived("1"), MarkReached("m"), ProviderFailed("code"), ENDED],
)
async def test_an_agent_that_handles_nothing_does_nothing(rig: OpenRig, event: Event) -> None:
    assert await rig(Agent).handle(event) == []


def test_an_agent_listens_to_anything_and_remembers_nothing_unless_it_says_so() -> None:
    assert Agent.listen is None
    assert Agent.State is None
