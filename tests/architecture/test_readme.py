"""What the README says of the code is held against the code."""

from __future__ import annotations

import re
from inspect import signature
from itertools import chain
from pathlib import Path

import pytest

from common.settings import ProcessSettings, Setting, settings_of
from edge.providers import providers
from edge.settings import EdgeSettings
from workers.agent import Agent
from workers.agent_loader import load_agent
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


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_agents_that_are_shown_are_agents(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, class_name = re.findall(r"^# (\w+)\.py$|^class (\w+)\(Agent\)", code, re.MULTILINE)
    (tmp_path / f"{module[0]}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    agent = load_agent(f"{module[0]}:{class_name[1]}")
    handlers = [name for name in vars(agent) if name.startswith("on_")]
    assert handlers
    for name in handlers:
        shown, declared = (signature(getattr(kind, name)) for kind in (agent, Agent))
        assert list(shown.parameters) == list(declared.parameters)


def test_every_provider_is_named() -> None:
    for name in providers():
        assert f"`{name}`" in README, name


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"`((?:common|edge|workers|ops|tests)/[\w./-]+)`", README)
    assert named
    for path in named:
        assert (Path(__file__).parents[2] / path).exists(), path
