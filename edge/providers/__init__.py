"""Every module in this folder is one provider and exports PROVIDER; nothing else names them."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from edge.adapter import Provider

__all__ = ["providers"]


def providers() -> dict[str, Provider[Any]]:
    modules = (import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__))
    found: list[Provider[Any]] = [module.PROVIDER for module in modules]
    return {provider.name: provider for provider in found}
