"""ops/protocols.md against the code: every row and column of its tables is tried out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from common.commands import (
    Answer,
    ClearPlayback,
    Command,
    HangUp,
    PlayAudio,
    SendDtmf,
    SetMark,
)
from common.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    DtmfReceived,
    MarkReached,
    ProviderFailed,
)
from edge.adapter import HungUp, KeyPressed, MarkEchoed, MediaReceived, Message
from edge.configuration import provider_settings
from tests.contract.call import Call
from tests.contract.conversation import conversations
from tests.contract.samples import PROVIDERS, entered, sample

PAGE = Path(__file__).parent.parent.parent / "ops" / "protocols.md"

#: What each event is made of.
RECEIPTS: dict[str, tuple[type, ...]] = {
    "start": (CallStarted,),
    "audio": (MediaReceived,),
    "dtmf": (DtmfReceived, KeyPressed),
    "mark": (MarkEchoed,),
    "error": (ProviderFailed,),
    "stop": (CallEnded, HungUp),
}
EVENTS = {
    "start": CallStarted,
    "audio": AudioReceived,
    "dtmf": DtmfReceived,
    "mark": MarkReached,
    "error": ProviderFailed,
    "stop": CallEnded,
}
COMMANDS: dict[str, Command] = {
    "answer": Answer(),
    "media": PlayAudio(bytes(960)),
    "mark": SetMark("m"),
    "clear": ClearPlayback(),
    "dtmf": SendDtmf("1"),
    "hangup": HangUp(),
}


def table(name: str) -> list[dict[str, str]]:
    """The rows of the table behind the comment `<!-- name -->`."""
    lines = PAGE.read_text().split(f"<!-- {name} -->\n")[1].splitlines()
    rows = [line.strip("|").split("|") for line in lines[: lines.index("")]]
    head, _, *body = [[cell.strip() for cell in row] for row in rows]
    return [dict(zip(head, row, strict=True)) for row in body]


def cells(name: str) -> list[object]:
    return [
        pytest.param(row[head], provider, row[provider], id=f"{row[head]}-{provider}")
        for row in table(name)
        for head in [name.removesuffix("s")]
        for provider in list(row)[1:]
    ]


def words(cell: str) -> set[str]:
    """The wire messages that a cell names."""
    names = set(re.findall(r"`(\w+)`", cell)) - {"on_error"}
    return names | ({"binary"} if "binary" in cell else set())


def name_of(message: Message) -> str:
    return "binary" if isinstance(message, bytes) else json.loads(message)["event"]


def test_tables_have_a_row_for_each_event_and_command_and_a_column_for_each_provider() -> None:
    assert [row["event"] for row in table("events")] == list(EVENTS)
    assert [row["command"] for row in table("commands")] == list(COMMANDS)
    for name in ("events", "commands"):
        assert list(table(name)[0])[1:] == PROVIDERS


@pytest.mark.parametrize(("event", "provider", "cell"), cells("events"))
def test_event_is_made_of_the_messages_named(event: str, provider: str, cell: str) -> None:
    seen = {
        name_of(message)
        for conversation in conversations()
        if conversation.provider == provider
        for message, means in entered(conversation)
        if any(isinstance(receipt, RECEIPTS[event]) for receipt in means)
    }
    assert words(cell) == seen
    assert seen or cell.split(" [")[0] in ("never", "from the pacer's clock", "from the edge")


@pytest.mark.parametrize(("event", "provider", "cell"), cells("events"))
def test_event_without_a_message_comes_from_where_the_cell_says(
    event: str, provider: str, cell: str
) -> None:
    if words(cell):
        return
    call = Call(sample(provider))
    call.ask(SendDtmf("A"), *COMMANDS.values())
    call.wait(2)
    is_told = any(isinstance(happened, EVENTS[event]) for happened in call.events)
    assert is_told == (not cell.startswith("never"))
    if "clock" in cell:
        assert not call.adapter.traits.echoes_marks


@pytest.mark.parametrize(("command", "provider", "cell"), cells("commands"))
def test_command_becomes_the_messages_named(command: str, provider: str, cell: str) -> None:
    call = Call(sample(provider), is_answered=command != "answer")
    call.adapter.messages_to_send()
    written, refused = asked(call, COMMANDS[command])
    assert written == words(cell)
    assert refused == cell.startswith("refused")
    if cell.startswith("closes"):
        assert call.stream.close is not None


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_start_says_which_way_keys_go_by_message(provider: str) -> None:
    started = Call(sample(provider)).events[0]
    assert isinstance(started, CallStarted)
    events, commands = (
        {row[kind]: row for row in table(f"{kind}s")} for kind in ("event", "command")
    )
    assert started.reports_dtmf == (not events["dtmf"][provider].startswith("never"))
    assert started.sends_dtmf == (not commands["dtmf"][provider].startswith("refused"))


def asked(call: Call, command: Command) -> tuple[set[str], bool]:
    """The messages that a command becomes, and whether it was refused."""
    written: set[str] = set()
    take = call.far_end.take

    def taken(messages: list[Message], *, now: float) -> list[str]:
        written.update(name_of(message) for message in messages)
        return take(messages, now=now)

    call.far_end.take = taken  # type: ignore[method-assign]
    call.ask(command)
    call.wait(1.5)
    return written, any(isinstance(event, ProviderFailed) for event in call.events)


def test_clear_stays_in_the_edge_where_sunvone_does_not_know_interrupt() -> None:
    call = Call(sample("sunvone")._replace(settings={}))
    assert not call.adapter.traits.clears
    assert asked(call, ClearPlayback()) == (set(), False)


def test_settings_are_those_of_the_code() -> None:
    assert [
        (row["variable"].strip("`"), row["default"].strip("`"), row["meaning"])
        for row in table("settings")
    ] == [
        (setting.variable, shown(setting.default), setting.description)
        for setting in provider_settings()
    ]


def shown(default: object) -> str:
    if default is None:
        return "unset"
    return str(default).lower() if isinstance(default, bool) else str(default)
