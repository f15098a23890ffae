"""Every module in this folder is one built-in agent and exports AGENT, under the module's name."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from workers.agent import Agent

__all__ = ["built_in_agents", "load_built_in"]


def built_in_agents() -> list[str]:
    return sorted(info.name for info in iter_modules(__path__))


def load_built_in(name: str) -> type[Agent]:
    agent: type[Agent] = import_module(f"{__name__}.{name}").AGENT
    return agent
