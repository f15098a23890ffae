"""`trunkline doctor`: would the system run well here, and if not, what is to be done?

Rule 1: doctor changes nothing and starts nothing.
Rule 2: every finding that is not `ok` says what to do; only `fail` makes the exit code 1.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from itertools import chain
from pathlib import Path

from common import redis_url
from common.errors import AgentError, SettingsError, UsageError
from common.keys import Lane, lanes
from common.settings import settings_of
from edge.configuration import provider_settings
from edge.settings import EdgeSettings
from ops import redis_advice, redis_facts, redis_permissions, redis_server
from ops.findings import Finding, Level, failed, found, warned
from ops.plan import load_settings
from workers.agent_loader import load_agent
from workers.audio.amr_wb import LIBRARY, AmrWbEncoder
from workers.settings import WorkerSettings

__all__ = ["add_arguments", "examine", "run"]

_MINIMUM_VERSIONS = {"aiohttp": "3.14.5", "redis": "8.1", "hiredis": "3.0", "uvloop": "0.21"}
# Compiled parts that aiohttp does without, several times slower, where they could not be built.
_AIOHTTP_EXTENSIONS = ("aiohttp._http_parser", "aiohttp._websocket.reader_c")
_PREFIX = "TRUNKLINE_"
_VARIABLES_OF_THE_TESTS = {"TRUNKLINE_TEST_REDIS", "TRUNKLINE_MODEL_EXAMPLES"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything is in the environment, as for the processes that doctor speaks of."""


def run(args: argparse.Namespace) -> int:
    findings = list(examine(os.environ))
    for finding in findings:
        print(finding)
    return int(any(finding.level is Level.FAIL for finding in findings))


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    yield from _settings(environ)
    yield from _unknown_variables(environ)
    yield from _redis(environ)
    yield from _packages(environ)
    yield _encoder()


def _settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        _, worker = load_settings(environ)
    except SettingsError as error:
        for fault in error.faults:
            yield failed("settings", fault)
        return
    yield found("settings", "all values are valid")
    try:
        load_agent(worker.agent)
    except UsageError as error:
        yield failed("agent", str(error))
    else:
        yield found("agent", worker.agent)


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """A misspelt setting has no effect, which is hard to see otherwise."""
    of_processes = chain(settings_of(EdgeSettings), settings_of(WorkerSettings))
    known = {setting.variable for setting in chain(of_processes, provider_settings())}
    configuration = Path(__file__).with_name("supervisord.conf").read_text()
    known |= set(re.findall(r"%\(ENV_(TRUNKLINE_\w+)\)s", configuration))
    known |= _VARIABLES_OF_THE_TESTS
    known = {name.removeprefix(_PREFIX) for name in known}
    for name in sorted(environ):
        word = name.removeprefix(_PREFIX)
        if word != name and word not in known:
            close = difflib.get_close_matches(word, known, n=1)
            advice = f"did you mean {_PREFIX}{close[0]}?" if close else "it has no effect"
            yield warned("settings", f"{name} is unknown; {advice}")


def _redis(environ: Mapping[str, str]) -> Iterator[Finding]:
    url = environ.get("REDIS_URL", "").strip()
    if url and not _is_understood(url):
        return  # told by `_settings`
    try:
        if url:
            lanes_of_settings = _lanes(environ)
            yield from redis_advice.advise(redis_facts.ask(url), lanes_of_settings)
            yield from _permissions(url, lanes_of_settings[:1])
        else:
            binary = redis_server.find_binary()
            text = f"REDIS_URL is not set; `trunkline up` runs {binary.version}, {binary.origin}"
            yield found("redis", text)
    except UsageError as error:
        yield failed("redis", str(error))


def _permissions(url: str, some_lanes: list[Lane]) -> Iterator[Finding]:
    for lane in some_lanes:
        missing = redis_permissions.missing(url, lane)
        if missing is None:
            text = "does not tell what its user may do: allow +multi +discard, or make sure of it"
            yield warned("redis", f"{text}; ops/runbook.md has the ACL")
        elif not missing:
            yield found("redis", "allows all that is needed")
        elif missing == [redis_permissions.GUARD]:
            text = "a promoted replica passes for the primary that it replaced"
            yield warned("redis", f"its user may not use INFO: {text}; allow {missing[0]}")
        else:
            text = f"its user may not do what is needed on {lane.tag}:*: {' '.join(missing)}"
            yield failed("redis", f"{text}; ops/runbook.md has the ACL")


def _is_understood(url: str) -> bool:
    try:
        redis_url.parse(url)
    except ValueError:
        return False
    return True


def _lanes(environ: Mapping[str, str]) -> list[Lane]:
    try:
        edge, _ = load_settings(environ)
    except SettingsError:  # told by `_settings`
        return []
    return lanes(edge.namespace, edge.lanes)


def _packages(environ: Mapping[str, str]) -> Iterator[Finding]:
    for package, minimum in _MINIMUM_VERSIONS.items():
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            version = ""
        if _numbers(version) < _numbers(minimum):
            state = f"{package} {version} is too old" if version else f"{package} is not installed"
            text = f"{state}; run: pip install '{package}>={minimum}'"
            yield failed("package", text)
        elif package == "aiohttp" and not _has_extensions(environ):
            text = (
                f"aiohttp {version} runs without its C extensions, several times slower:"
                " reinstall it, and unset AIOHTTP_NO_EXTENSIONS"
            )
            yield warned("package", text)
        else:
            yield found("package", f"{package} {version}")


def _encoder() -> Finding:
    """The one codec that no package brings along."""
    try:
        AmrWbEncoder()
    except AgentError as error:
        return warned("codec", f"{error}, or calls in it end at their start")
    return found("codec", f"AMR-WB is encoded by {LIBRARY}")


def _has_extensions(environ: Mapping[str, str]) -> bool:
    if environ.get("AIOHTTP_NO_EXTENSIONS"):
        return False
    return all(importlib.util.find_spec(name) is not None for name in _AIOHTTP_EXTENSIONS)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
