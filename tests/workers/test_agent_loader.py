from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import UsageError
from workers.agent import Agent
from workers.agent_loader import load_agent, prepare
from workers.agents import built_in_agents
from workers.agents.echo import Echo

WriteModule = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Writes a module of the user's into the working directory, under a name of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)

    def write(source: str) -> str:
        name = f"house_{abs(hash(source))}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def fault(name: str) -> str:
    with pytest.raises(UsageError) as raised:
        load_agent(name)
    text = str(raised.value)
    assert "\n" not in text
    assert raised.value.exit_code == 1
    return text


def test_echo_is_built_in() -> None:
    assert load_agent("echo") is Echo


@pytest.mark.parametrize("name", built_in_agents())
def test_every_built_in_agent_loads(name: str) -> None:
    assert load_agent(name).__name__


def test_a_class_in_the_working_directory(module: WriteModule) -> None:
    name = module("from workers import Agent\nclass Greeter(Agent):\n    pass\n")
    agent = load_agent(f"{name}:Greeter")
    assert (agent.__name__, agent.__module__) == ("Greeter", name)


def test_a_class_in_a_package(module: WriteModule, tmp_path: Path) -> None:
    package = tmp_path / "house_package"
    package.mkdir()
    (package / "voices.py").write_text("from workers import Agent\nclass Greeter(Agent): ...\n")
    assert load_agent("house_package.voices:Greeter").__name__ == "Greeter"


def test_the_working_directory_is_looked_in_once(module: WriteModule, tmp_path: Path) -> None:
    name = module("from workers import Agent\nclass Greeter(Agent): ...\n")
    load_agent(f"{name}:Greeter")
    load_agent(f"{name}:Greeter")
    assert sys.path.count(str(tmp_path)) == 1


@pytest.mark.parametrize("name", ["ehco", "", "workers.agents.echo", "../echo"])
def test_a_name_that_is_not_built_in(name: str) -> None:
    assert fault(name) == (
        f"unknown agent {name!r}: built-in are {', '.join(built_in_agents())}; or use module:Class"
    )


def test_a_module_that_is_not_there(module: WriteModule) -> None:
    assert fault("house_nowhere:Greeter") == (
        "cannot import agent module 'house_nowhere': "
        "ModuleNotFoundError: No module named 'house_nowhere'"
    )


@pytest.mark.parametrize("name", [":Greeter", ".house:Greeter", "a b:Greeter", "a..b:Greeter"])
def test_what_is_no_module_name(module: WriteModule, name: str) -> None:
    assert fault(name).startswith("cannot import agent module ")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def broken(:\n", "SyntaxError: "),
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise ValueError('one\\ntwo')\n", "ValueError: one two"),
        ("raise SystemExit('no key')\n", "SystemExit: no key"),
    ],
)
def test_a_module_that_cannot_be_imported(module: WriteModule, source: str, error: str) -> None:
    name = module(source)
    assert fault(f"{name}:Greeter").startswith(f"cannot import agent module {name!r}: {error}")


@pytest.mark.parametrize("attribute", ["Greeter", "", "a.b"])
def test_a_class_that_is_not_there(module: WriteModule, attribute: str) -> None:
    name = module("x = 1\n")
    assert fault(f"{name}:{attribute}") == f"agent module {name!r} has no class {attribute!r}"


@pytest.mark.parametrize("value", ["1", "int", "lambda: 1", "__import__('workers').Agent()"])
def test_what_is_no_agent(module: WriteModule, value: str) -> None:
    name = module(f"Greeter = {value}\n")
    assert fault(f"{name}:Greeter") == (
        f"agent '{name}:Greeter' is not a subclass of workers.Agent"
    )


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (
            "listen = 16_000",
            "Mine listens to 16000: what can be had is AudioFormat.pcm(rate), 4000",
        ),
        ("listen = AudioFormat.pcmu()", "Mine listens to PCMU/8000: what can be had is"),
        ("listen = AudioFormat.pcm(1000)", "Mine listens to L16/1000: what can be had is"),
        ("speech = True", "Mine.speech is True: SpeechSettings(...) are needed"),
        ("tracks = 'inbound'", "Mine.tracks is 'inbound': a set of names is needed"),
    ],
)
def test_what_no_call_could_give_the_agent(module: WriteModule, declared: str, text: str) -> None:
    source = f"from workers import *\n\nclass Mine(Agent):\n    {declared}\n"
    assert text in fault(f"{module(source)}:Mine")


def test_state_without_defaults(module: WriteModule) -> None:
    name = module(
        "import msgspec\n"
        "from workers import Agent\n"
        "class Greeter(Agent):\n"
        "    class State(msgspec.Struct):\n"
        "        greeted: bool\n"
    )
    text = fault(f"{name}:Greeter")
    assert text.startswith(f"agent '{name}:Greeter': every field of State needs a default: ")
    assert "greeted" in text


def unready(error: BaseException) -> str:
    class Unready(Agent):
        @classmethod
        def prepare(cls) -> None:
            raise error

    with pytest.raises(UsageError) as raised:
        prepare(Unready)
    return str(raised.value)


def test_an_agent_may_prepare_for_its_calls() -> None:
    prepared = []

    class Ready(Agent):
        @classmethod
        def prepare(cls) -> None:
            prepared.append(cls)

    prepare(Ready)
    prepare(Agent)
    assert prepared == [Ready]


def test_an_agent_that_is_not_ready_says_why_in_one_line() -> None:
    assert unready(UsageError("no menu")) == "no menu"
    assert unready(ValueError("a\nb")) == "agent Unready is not ready: ValueError: a b"
    assert unready(SystemExit(3)) == "agent Unready is not ready: SystemExit: 3"
