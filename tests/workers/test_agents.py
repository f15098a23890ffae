from __future__ import annotations

import pytest

from workers.agent import Agent
from workers.agents import built_in_agents, load_built_in, options_of


def test_the_built_in_agents_are_the_modules_of_the_folder() -> None:
    assert "echo" in built_in_agents()
    assert built_in_agents() == sorted(built_in_agents())


@pytest.mark.parametrize("name", built_in_agents())
def test_every_module_exports_an_agent_that_can_begin_a_call(name: str) -> None:
    agent = load_built_in(name)
    assert issubclass(agent, Agent)
    agent()
    if agent.State is not None:
        agent.State()


def test_options_have_their_agent_s_prefix() -> None:
    assert not list(options_of("echo"))
    assert [option.variable for option in options_of("recorder")] == [
        "TRUNKLINE_RECORDER_AGENT",
        "TRUNKLINE_RECORDER_DIR",
    ]
