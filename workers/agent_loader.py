"""Find the agent that a worker is to run: a built-in name, or `module:Class`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from common.errors import AgentError, UsageError
from workers.agent import Agent
from workers.agents import built_in_agents, load_built_in
from workers.running.hearing import check_declared

__all__ = ["load_agent", "prepare"]


def load_agent(name: str) -> type[Agent]:
    """Raises UsageError saying what is wrong with `name`."""
    module_name, colon, class_name = name.partition(":")
    if not colon:
        if name not in built_in_agents():
            known = ", ".join(built_in_agents())
            raise UsageError(f"unknown agent {name!r}: built-in are {known}; or use module:Class")
        return load_built_in(name)
    agent = _attribute(module_name, class_name)
    if not isinstance(agent, type) or not issubclass(agent, Agent):
        raise UsageError(f"agent {name!r} is not a subclass of workers.Agent")
    _check_state(name, agent)
    try:
        check_declared(agent)
    except AgentError as error:
        raise UsageError(f"agent {name!r}: {error}") from None
    return agent


def prepare(agent: type[Agent]) -> None:
    """What the agent wants done before its first call. Raises UsageError when that fails."""
    try:
        agent.prepare()
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"agent {agent.__name__} is not ready: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _attribute(module_name: str, class_name: str) -> object:
    # As uvicorn does: users' modules are found where they stand.
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot import agent module {module_name!r}: {_reason(error)}") from error
    found: object = getattr(module, class_name, None)
    if found is None:
        raise UsageError(f"agent module {module_name!r} has no class {class_name!r}")
    return found


def _check_state(name: str, agent: type[Agent]) -> None:
    if agent.State is not None:
        try:
            agent.State()
        except TypeError as error:
            raise UsageError(
                f"agent {name!r}: every field of State needs a default: {error}"
            ) from None
