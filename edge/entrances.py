"""The ways in: one for every provider, with its settings, and one that finds out who is calling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from common.settings import PREFIX, load, load_all
from edge.adapter import Adapter, Provider
from edge.detection import Candidate, DetectingAdapter
from edge.providers import providers

__all__ = ["DETECT", "Entrance", "entrances", "options_prefix"]

#: Name of the entrance at `/`.
DETECT = "detect"


class Entrance(NamedTuple):
    """`start_timeout_s` is None where the edge's usual one holds."""

    name: str
    open_adapter: Callable[[], Adapter]
    start_timeout_s: float | None = None


def options_prefix(provider: Provider[Any]) -> str:
    """What the variables of a provider's settings begin with."""
    return f"{PREFIX}{provider.name.upper()}_"


def entrances(environ: Mapping[str, str]) -> dict[str, Entrance]:
    """By provider name, and DETECT. Raises SettingsError naming every variable that is wrong."""
    found = providers()
    options = load_all(
        {
            name: partial(load, provider.options, environ, prefix=options_prefix(provider))
            for name, provider in found.items()
        }
    )
    opened = {
        name: Entrance(
            name, partial(provider.open_adapter, options[name]), provider.start_timeout_s
        )
        for name, provider in found.items()
    }
    candidates = {
        name: Candidate(provider.recognise, opened[name].open_adapter)
        for name, provider in found.items()
    }
    patience = max((p.start_timeout_s or 0.0 for p in found.values()), default=0.0)
    opened[DETECT] = Entrance(DETECT, partial(DetectingAdapter, candidates), patience or None)
    return opened
