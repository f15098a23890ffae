"""Every module in this folder holds faults and exports them as FAULTS."""

from __future__ import annotations

import importlib
import pkgutil
import re

from tests.system.chaos.fault import Fault

__all__ = ["known_faults"]


def known_faults() -> dict[str, Fault]:
    """By name, in the order of the table: what must hold first, then F1 to F20."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found: list[Fault] = []
    for module in modules:
        found += importlib.import_module(f"{__name__}.{module}").FAULTS
    return {fault.name: fault for fault in sorted(found, key=_order)}


def _order(fault: Fault) -> tuple[int, str]:
    number = re.match(r"F(\d+)", fault.name)
    return (int(number[1]) if number else 0, fault.name)
