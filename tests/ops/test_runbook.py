"""What the runbook says of the code is held against the code."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import REGISTRY

import common.metrics
import edge.metrics
import workers.metrics
from common.events import EndReason
from common.settings import settings_of
from edge.settings import EdgeSettings
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "ops" / "runbook.md").read_text()
SUPERVISED = (ROOT / "ops" / "supervisord.conf").read_text()


def test_every_series_is_explained() -> None:
    assert common.metrics
    assert edge.metrics
    assert workers.metrics
    exported = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("trunkline")}
    explained = re.findall(r"^\| `(trunkline_\w+)` \|", RUNBOOK, re.MULTILINE)
    assert sorted(explained) == sorted(exported)


def test_every_setting_that_is_named_exists() -> None:
    known = {
        setting.variable for kind in (EdgeSettings, WorkerSettings) for setting in settings_of(kind)
    }
    known |= set(re.findall(r"^;\s+(TRUNKLINE_\w+) ", SUPERVISED, re.MULTILINE))
    named = set(re.findall(r"TRUNKLINE_[A-Z_]+\b", RUNBOOK))
    assert named
    assert not named - known


def test_every_reason_that_is_named_exists() -> None:
    for reason in re.findall(r"`((?:edge|agent|not|caller)_[a-z_]+)`", RUNBOOK):
        assert reason in set(EndReason)


def test_every_file_that_is_named_exists() -> None:
    for path in re.findall(r"`((?:common|edge|workers|ops|tests)/[\w./-]+)`", RUNBOOK):
        assert (ROOT / path).exists(), path
