"""Conversations with providers, as files: `tests/fixtures/<provider>/<case>.jsonl`.

One JSON object a line. The first line says what the conversation is `about`, and with which
`settings` and `lead_ms` it is held. Every other line is one thing that happens, at `at_ms`:

    received            the provider sent this text message; it stands there exactly as on the wire
    received_text       the same for a text that is not JSON
    received_bytes      the provider sent this binary message
    command             the agent asked for this
    socket_closed       the socket was closed, with this code
    (none of them)      only time passes

and what comes of it, and of the time since the line before, whole and in order (what is left out
is empty):

    receipts            what the adapter says that the message means; left out when it is the events
    events              what the stream publishes
    sent                what is written to the socket: JSON as such, a binary message as its bytes
    ignored             why messages or commands stayed without effect
    closes              close code and reason, once the socket is to be closed

Bytes of audio are hexadecimal, `ff*160` where all are alike; where audio is written as base64,
`sent` has it as `<ff*160>`. Values are `{"Class": {"field": ...}}`
without the fields that are left at their defaults.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_type_hints

import msgspec

from common import commands
from common.audio import AudioFormat
from common.commands import Command
from edge.adapter import Adapter, Message, Ordering, Receipt, Traits
from edge.entrances import DETECT, entrances
from edge.stream import Stream

__all__ = [
    "FIXTURES",
    "Conversation",
    "Json",
    "Line",
    "Outcome",
    "Recorder",
    "as_bytes",
    "conversations",
    "described",
    "open_adapter",
    "play",
    "the_command",
]

FIXTURES = Path(__file__).parent.parent / "fixtures"

Json: TypeAlias = dict[str, Any]


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    settings: dict[str, str] = {}
    lead_ms: int = 200


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at_ms: float
    received: msgspec.Raw = msgspec.Raw(b"")
    received_text: str | None = None
    received_bytes: str | None = None
    command: Json | None = None
    socket_closed: int | None = None
    receipts: list[Any] | None = None
    events: list[Any] = []
    sent: list[Any] = []
    ignored: list[str] = []
    closes: str = ""

    @property
    def message(self) -> Message | None:
        """What the provider sent."""
        if self.received:
            return bytes(self.received).decode()
        if self.received_bytes is not None:
            return as_bytes(self.received_bytes)
        return self.received_text

    @property
    def expected(self) -> Outcome:
        receipts = self.events if self.receipts is None else self.receipts
        if self.message is None:
            receipts = []
        return Outcome(receipts, self.events, self.sent, self.ignored, self.closes)


class Outcome(NamedTuple):
    """What came of a line, described."""

    receipts: list[Any]
    events: list[Any]
    sent: list[Any]
    ignored: list[str]
    closes: str


class Conversation(NamedTuple):
    provider: str
    case: str
    head: Head
    lines: list[Line]

    @property
    def messages(self) -> list[Message]:
        """All that the provider sent."""
        return [line.message for line in self.lines if line.message is not None]


def conversations(root: Path = FIXTURES) -> Iterator[Conversation]:
    for path in sorted(root.glob("*/*.jsonl")):
        head, *lines = path.read_bytes().splitlines()
        yield Conversation(
            path.parent.name,
            path.stem,
            msgspec.json.decode(head, type=Head),
            [msgspec.json.decode(line, type=Line) for line in lines],
        )


def open_adapter(conversation: Conversation, *, detect: bool = False) -> Adapter:
    name = DETECT if detect else conversation.provider
    return entrances(conversation.head.settings)[name].open_adapter()


class Recorder:
    """An adapter that keeps what it said."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.receipts: list[Receipt] = []

    @property
    def ordering(self) -> Ordering:
        return self._adapter.ordering

    @property
    def traits(self) -> Traits:
        return self._adapter.traits

    def receive(self, message: Message) -> list[Receipt]:
        receipts = self._adapter.receive(message)
        self.receipts.extend(receipts)
        return receipts

    def send(self, command: Command) -> None:
        self._adapter.send(command)

    def messages_to_send(self) -> list[Message]:
        return self._adapter.messages_to_send()


def play(adapter: Adapter, conversation: Conversation) -> Iterator[Outcome]:
    """Hold the conversation in simulated time; what comes of each line."""
    recorder = Recorder(adapter)
    stream = Stream(recorder, lead_ms=conversation.head.lead_ms)
    now = 0.0
    for line in conversation.lines:
        events, messages = _pass_time(stream, now, line.at_ms / 1000)
        now = line.at_ms / 1000
        events += _happen(stream, line, now)
        events += stream.tick(now=now)
        messages += stream.messages_to_send()
        yield Outcome(
            [described(receipt) for receipt in recorder.receipts],
            [described(event) for event in events],
            [_as_written(message) for message in messages],
            sorted(stream.ignored.elements()),
            "" if stream.close is None else f"{stream.close.code} {stream.close.reason}".strip(),
        )
        recorder.receipts.clear()
        stream.ignored.clear()


def _pass_time(stream: Stream, now: float, until: float) -> tuple[list[Any], list[Message]]:
    """Wake the stream whenever it asks for it, as the session does."""
    events: list[Any] = []
    messages: list[Message] = []
    while (due := stream.next_time()) is not None and due < until:
        now = max(now, due)
        events += stream.tick(now=now)
        messages += stream.messages_to_send()
    return events, messages


def _happen(stream: Stream, line: Line, now: float) -> list[Any]:
    if line.message is not None:
        return stream.receive(line.message, now=now)
    if line.command is not None:
        return stream.command(the_command(line.command), now=now)
    if line.socket_closed is not None:
        return stream.socket_closed(line.socket_closed, now=now)
    return []


def described(value: object) -> Json:
    """A receipt, event or command as the fixtures write it."""
    if isinstance(value, msgspec.Struct):
        fields = {field.name: field.default for field in msgspec.structs.fields(value)}
        empty = {f.name for f in msgspec.structs.fields(value) if f.default_factory is dict}
        fields |= {name: {} for name in empty}
    else:
        defaults: dict[str, object] = getattr(value, "_field_defaults", {})
        fields = {name: defaults.get(name, msgspec.NODEFAULT) for name in _fields(value)}
    told = {
        name: _plain(getattr(value, name))
        for name, default in fields.items()
        if getattr(value, name) != default
    }
    return {type(value).__name__: told}


def _fields(value: object) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(value, "_fields")  # noqa: B009 - a NamedTuple's
    return names


def _plain(value: object) -> Any:
    match value:
        case bytes():
            return _as_text(value)
        case AudioFormat():
            return str(value)
        case Enum():
            return value.value
        case msgspec.Struct():
            return described(value)
    return value


def _as_text(data: bytes) -> str:
    is_run = len(data) > 4 and len(set(data)) == 1
    return f"{data[:1].hex()}*{len(data)}" if is_run else data.hex()


def as_bytes(text: str) -> bytes:
    """The inverse of how bytes are described."""
    digits, _, count = text.partition("*")
    return bytes.fromhex(digits) * int(count or 1)


def _as_written(message: Message) -> Any:
    if isinstance(message, bytes):
        return _as_text(message)
    written = msgspec.json.decode(message)
    match written:
        case {"media": {"payload": str(payload)}}:
            written["media"]["payload"] = f"<{_as_text(b64decode(payload, validate=True))}>"
    return written


def the_command(told: Json) -> Command:
    """A command from how it is described."""
    ((name, fields),) = told.items()
    kind: type[Command] = getattr(commands, name)
    hints = get_type_hints(kind)
    return kind(**{field: _value(value, hints[field]) for field, value in fields.items()})


def _value(value: Any, kind: Any) -> Any:
    data = b64encode(as_bytes(value)).decode() if kind is bytes else value
    return msgspec.convert(data, kind)
