"""Every module in this folder is one provider's dialect and exports it as DIALECT."""

from __future__ import annotations

import importlib
import pkgutil

from ops.phone.dialect import Dialect

__all__ = ["known_dialects"]


def known_dialects() -> dict[str, Dialect]:
    """By name, in alphabetical order."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = [importlib.import_module(f"{__name__}.{module}").DIALECT for module in modules]
    return {dialect.name: dialect for dialect in found}
