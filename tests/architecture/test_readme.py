"""What the README says of the code is held against the code."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

from common.settings import ProcessSettings, Setting, settings_of
from edge.providers import providers
from edge.settings import EdgeSettings
from workers.agents import built_in_agents, options_of
from workers.settings import WorkerSettings

README = (Path(__file__).parents[2] / "README.md").read_text()


def row(setting: Setting, reader: str) -> str:
    default = setting.default
    shown = f"{default:g}" if isinstance(default, int | float) else str(default)
    return f"| `{setting.variable}` | `{shown}` | {reader} | {setting.description} |"


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    shared = {setting.variable: row(setting, "both") for setting in settings_of(ProcessSettings)}
    own = {
        setting.variable: row(setting, reader)
        for reader, kind in (("edge", EdgeSettings), ("worker", WorkerSettings))
        for setting in settings_of(kind)
    }
    expected = list(chain(shared.values(), (own[name] for name in own if name not in shared)))
    expected += [
        row(setting, f"`{name}`") for name in built_in_agents() for setting in options_of(name)
    ]
    written = re.findall(r"^\| `(?:TRUNKLINE_|REDIS_).*$", README, re.MULTILINE)
    assert written == expected


def test_every_provider_is_named() -> None:
    for name in providers():
        assert f"`{name}`" in README, name


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"`((?:common|edge|workers|ops|tests)/[\w./-]+)`", README)
    assert named
    for path in named:
        assert (Path(__file__).parents[2] / path).exists(), path
