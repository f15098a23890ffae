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
from enum import StrEnum
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from common.errors import SettingsError, UsageError
from common.settings import settings_of
from edge.configuration import provider_settings
from edge.settings import EdgeSettings
from ops import redis_facts, redis_server
from ops.plan import load_settings
from ops.redis_facts import RedisFacts
from workers.agent_loader import load_agent
from workers.settings import WorkerSettings

__all__ = ["Finding", "Level", "add_arguments", "examine", "run"]

_MINIMUM_VERSIONS = {"aiohttp": "3.14.5", "redis": "8.1", "hiredis": "3.0", "uvloop": "0.21"}
# Compiled parts that aiohttp does without, several times slower, where they could not be built.
_AIOHTTP_EXTENSIONS = ("aiohttp._http_parser", "aiohttp._websocket.reader_c")
_PREFIX = "TRUNKLINE_"
_VARIABLES_OF_THE_TESTS = {"TRUNKLINE_TEST_REDIS"}


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    level: Level
    subject: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything is in the environment, as for the processes that doctor speaks of."""


def run(args: argparse.Namespace) -> int:
    findings = list(examine(os.environ))
    for level, subject, text in findings:
        print(f"{level:<4}  {subject:<8}  {text}")
    return int(any(finding.level is Level.FAIL for finding in findings))


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    yield from _settings(environ)
    yield from _unknown_variables(environ)
    yield from _redis(environ.get("REDIS_URL", "").strip())
    yield from _packages(environ)


def _settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        _, worker = load_settings(environ)
    except SettingsError as error:
        for fault in error.faults:
            yield Finding(Level.FAIL, "settings", fault)
        return
    yield Finding(Level.OK, "settings", "all values are valid")
    try:
        load_agent(worker.agent)
    except UsageError as error:
        yield Finding(Level.FAIL, "agent", str(error))
    else:
        yield Finding(Level.OK, "agent", worker.agent)


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
            yield Finding(Level.WARN, "settings", f"{name} is unknown; {advice}")


def _redis(url: str) -> Iterator[Finding]:
    try:
        if url:
            facts = redis_facts.ask(url)
            yield from _judge_redis(facts, redis_facts.redacted(url))
        else:
            binary = redis_server.find_binary()
            text = f"REDIS_URL is not set; `trunkline up` runs {binary.version}, {binary.origin}"
            yield Finding(Level.OK, "redis", text)
    except UsageError as error:
        yield Finding(Level.FAIL, "redis", str(error))


def _judge_redis(facts: RedisFacts, place: str) -> Iterator[Finding]:
    name = f"{facts.software} {facts.version}"
    if redis_server.is_recent(facts.version):
        yield Finding(Level.OK, "redis", f"{name} at {place}")
    else:
        yield Finding(Level.FAIL, "redis", f"{name} at {place}: upgrade to 6.2 or newer")
    if facts.eviction == "noeviction":
        yield Finding(Level.OK, "redis", "evicts nothing")
    elif facts.eviction:
        text = f"maxmemory-policy is {facts.eviction}, which drops live calls: set noeviction"
        yield Finding(Level.FAIL, "redis", text)
    else:
        text = "does not tell its maxmemory-policy; make sure that it is noeviction"
        yield Finding(Level.WARN, "redis", text)
    if facts.appends_to_file:
        yield Finding(Level.OK, "redis", "keeps live calls over a restart")
    else:
        text = (
            "appendonly is off: after a restart of Redis, agents forget what they know of live"
            " calls; set appendonly yes, appendfsync everysec"
        )
        yield Finding(Level.WARN, "redis", text)


def _packages(environ: Mapping[str, str]) -> Iterator[Finding]:
    for package, minimum in _MINIMUM_VERSIONS.items():
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            version = ""
        if _numbers(version) < _numbers(minimum):
            state = f"{package} {version} is too old" if version else f"{package} is not installed"
            text = f"{state}; run: pip install '{package}>={minimum}'"
            yield Finding(Level.FAIL, "package", text)
        elif package == "aiohttp" and not _has_extensions(environ):
            text = (
                f"aiohttp {version} runs without its C extensions, several times slower:"
                " reinstall it, and unset AIOHTTP_NO_EXTENSIONS"
            )
            yield Finding(Level.WARN, "package", text)
        else:
            yield Finding(Level.OK, "package", f"{package} {version}")


def _has_extensions(environ: Mapping[str, str]) -> bool:
    if environ.get("AIOHTTP_NO_EXTENSIONS"):
        return False
    return all(importlib.util.find_spec(name) is not None for name in _AIOHTTP_EXTENSIONS)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
