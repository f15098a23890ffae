"""Everything that an edge is told from outside: its settings, and those of every provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from common.settings import Setting, load, load_all, settings_of
from edge.entrances import Entrance, entrances, options_prefix
from edge.providers import providers
from edge.settings import EdgeSettings

__all__ = ["EdgeConfiguration", "configure", "provider_settings"]


class EdgeConfiguration(NamedTuple):
    settings: EdgeSettings
    entrances: dict[str, Entrance]


def configure(environ: Mapping[str, str]) -> EdgeConfiguration:
    """Raises SettingsError naming every variable that is wrong."""
    loaded: dict[str, Any] = load_all(
        {
            "settings": partial(load, EdgeSettings, environ),
            "entrances": partial(entrances, environ),
        }
    )
    return EdgeConfiguration(**loaded)


def provider_settings() -> Iterator[Setting]:
    """The settings of all providers, for those who list or check variables."""
    for provider in providers().values():
        yield from settings_of(provider.options, prefix=options_prefix(provider))
