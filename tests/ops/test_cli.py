from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.errors import LinkError, SettingsError, TrunklineError, UsageError
from ops import cli


class FakeModules:
    """Stands in for importlib: every subcommand's module is this object."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcome: int | BaseException = 0) -> None:
        self.imported: list[str] = []
        self.outcome = outcome
        monkeypatch.setattr(cli, "importlib", SimpleNamespace(import_module=self._import))

    def _import(self, name: str) -> FakeModules:
        self.imported.append(name)
        return self

    def add_arguments(self, parser: object) -> None: ...

    def run(self, args: object) -> int:
        return self.main()

    def main(self) -> int:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("up", "ops.up"),
        ("call", "ops.phone.command"),
        ("doctor", "ops.doctor"),
        ("edge", "edge.__main__"),
        ("worker", "workers.__main__"),
    ],
)
def test_each_command_imports_its_own_module_only(
    command: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = FakeModules(monkeypatch, outcome=7)
    assert cli.main([command]) == 7
    assert set(modules.imported) == {module}


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("no such file"), 1, "trunkline up: no such file\n"),
        (SettingsError(["A: bad"]), 2, "trunkline up: 1 setting is wrong:\n  A: bad\n"),
        (LinkError("Redis is away"), 1, "trunkline up: Redis is away\n"),
    ],
)
def test_an_error_is_one_message_and_its_exit_code(
    error: TrunklineError,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    FakeModules(monkeypatch, outcome=error)
    assert cli.main(["up"]) == code
    assert capsys.readouterr() == ("", message)


def test_an_interrupted_command_says_nothing_and_exits_as_shells_expect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeModules(monkeypatch, outcome=KeyboardInterrupt())
    assert cli.main(["call"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [[], ["dial"], ["up", "--edges"], ["edge", "--port", "1"]])
def test_wrong_arguments_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: trunkline" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "doctor", "edge", "worker", "call"])
def test_every_command_has_help_with_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeModules(monkeypatch)
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    assert f"trunkline {command}" in capsys.readouterr().out.partition("Example: ")[2]


def test_the_console_script_shows_its_version_and_is_quick_to_help() -> None:
    script = Path(sys.executable).with_name("trunkline")
    version = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert version.stdout.startswith("trunkline 0.")
    took_s = []
    for _ in range(3):
        before = cpu_s_of_children()
        subprocess.run([script, "--help"], capture_output=True, timeout=60, check=True)
        took_s.append(cpu_s_of_children() - before)
    assert min(took_s) < 0.5


def cpu_s_of_children() -> float:
    """What those that have ended have used; a busy machine makes them wait, not compute."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_reader_who_leaves_early_sees_no_traceback() -> None:
    script = Path(sys.executable).with_name("trunkline")
    doctor = subprocess.Popen([script, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert doctor.stdout is not None
    assert doctor.stderr is not None
    doctor.stdout.close()
    with doctor.stderr:
        assert doctor.stderr.read() == b""
    assert doctor.wait(timeout=60) in (0, 1)
