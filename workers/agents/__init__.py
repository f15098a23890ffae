"""Every module in this folder is one built-in agent and exports AGENT, under the module's name.

One that leaves something to choose exports OPTIONS as well, a Struct, and PREFIX, with which the
variables of its options begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from common.settings import Setting, settings_of
from workers.agent import Agent

__all__ = ["built_in_agents", "load_built_in", "options_of"]


def built_in_agents() -> list[str]:
    return sorted(info.name for info in iter_modules(__path__))


def load_built_in(name: str) -> type[Agent]:
    agent: type[Agent] = import_module(f"{__name__}.{name}").AGENT
    return agent


def options_of(name: str) -> Iterator[Setting]:
    """What the agent of this name can be told from outside."""
    module = import_module(f"{__name__}.{name}")
    if hasattr(module, "OPTIONS"):
        yield from settings_of(module.OPTIONS, prefix=module.PREFIX)
