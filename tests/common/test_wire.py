"""One table of values and what they look like in Redis, tried in both directions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import AudioFormat
from common.commands import (
    Answer,
    ClearPlayback,
    Command,
    HangUp,
    PlayAudio,
    SendDtmf,
    SetMark,
)
from common.errors import WireError
from common.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    DtmfReceived,
    EndReason,
    Event,
    MarkOutcome,
    MarkReached,
    ProviderFailed,
)
from common.wire import (
    EventEnvelope,
    decode_command,
    decode_event,
    encode_command,
    encode_event,
)

AT_MS = 1_700_000_000_123

EVENTS: list[tuple[Event, list[Any]]] = [
    (
        CallStarted(
            "twilio",
            AudioFormat.pcmu(),
            "CA1",
            "MZ1",
            AudioFormat.pcm(16_000),
            {"a": 1},
            sends_dtmf=True,
            reports_dtmf=False,
        ),
        [
            *["start", "twilio", ["PCMU", 8000, 1], "CA1", "MZ1", ["L16", 16_000, 1], {"a": 1}],
            *[True, False],
        ],
    ),
    (
        AudioReceived(b"\xff\x00", 40, 3, 1, "outbound", 7),
        ["audio", b"\xff\x00", 40, 3, 1, "outbound", 7],
    ),
    (DtmfReceived("#", 80), ["dtmf", "#", 80]),
    (MarkReached("hi", MarkOutcome.CLEARED, 120), ["mark", "hi", "cleared", 120]),
    (ProviderFailed("31924", "title", "detail"), ["error", "31924", "title", "detail"]),
    (CallEnded(EndReason.NOT_TAKEN, "late", {"b": "c"}), ["stop", "not_taken", "late", {"b": "c"}]),
]

COMMANDS: list[tuple[Command, list[Any]]] = [
    (Answer(), ["answer"]),
    (PlayAudio(b"\x7f", 960), ["media", b"\x7f", 960]),
    (SetMark("hi"), ["mark", "hi"]),
    (ClearPlayback(), ["clear"]),
    (SendDtmf("12#", 100), ["dtmf", "12#", 100]),
    (HangUp(EndReason.AGENT_FAILED, "boom"), ["hangup", "agent_failed", "boom"]),
]

EVENT = pytest.mark.parametrize(("event", "plain"), EVENTS)
COMMAND = pytest.mark.parametrize(("command", "plain"), COMMANDS)

pack = msgspec.msgpack.encode

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
TAGS = st.sampled_from([plain[0] for _, plain in EVENTS + COMMANDS])


def test_tables_name_every_event_and_every_command() -> None:
    assert {type(event) for event, _ in EVENTS} == set(get_args(Event))
    assert {type(command) for command, _ in COMMANDS} == set(get_args(Command))


@EVENT
def test_event_is_written(event: Event, plain: list[Any]) -> None:
    assert msgspec.msgpack.decode(encode_event(event, at_ms=AT_MS)) == [AT_MS, plain]


@EVENT
def test_event_is_read(event: Event, plain: list[Any]) -> None:
    assert decode_event(pack([AT_MS, plain])) == EventEnvelope(AT_MS, event)


@COMMAND
def test_command_is_written(command: Command, plain: list[Any]) -> None:
    assert msgspec.msgpack.decode(encode_command(command)) == plain


@COMMAND
def test_command_is_read(command: Command, plain: list[Any]) -> None:
    assert decode_command(pack(plain)) == command


@EVENT
def test_older_reader_passes_over_fields_that_a_newer_writer_appended(
    event: Event, plain: list[Any]
) -> None:
    newer = pack([AT_MS, [*plain, "appended", 1], "appended"])
    assert decode_event(newer) == EventEnvelope(AT_MS, event)


@COMMAND
def test_older_edge_passes_over_fields_that_a_newer_worker_appended(
    command: Command, plain: list[Any]
) -> None:
    assert decode_command(pack([*plain, {"appended": 1}])) == command


@pytest.mark.parametrize(
    ("older", "event"),
    [
        (["start", "mesmer", ["PCMU", 8000]], CallStarted("mesmer", AudioFormat.pcmu())),
        (["audio", b"\xff", 0, 1], AudioReceived(b"\xff", 0, 1)),
        (["dtmf", "1"], DtmfReceived("1")),
        (["mark", "hi"], MarkReached("hi")),
        (["error", "x"], ProviderFailed("x")),
        (["stop", "caller_hung_up"], CallEnded(EndReason.CALLER_HUNG_UP)),
    ],
)
def test_newer_reader_fills_in_what_an_older_writer_did_not_know(
    older: list[Any], event: Event
) -> None:
    assert decode_event(pack([AT_MS, older])).event == event


def test_newer_edge_fills_in_what_an_older_worker_did_not_know() -> None:
    assert decode_command(pack(["hangup"])) == HangUp()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc1", id="never-used"),
        pytest.param(pack([AT_MS, ["fax", 1]]), id="unknown-tag"),
        pytest.param(pack([AT_MS, ["audio", "text", 0, 1]]), id="wrong-type"),
        pytest.param(pack([AT_MS, ["audio", b""]]), id="field-missing"),
        pytest.param(pack([AT_MS, ["stop", "bored"]]), id="unknown-reason"),
        pytest.param(b"\x92\x05\x92\xa4dtmf\xa1\xff", id="bad-utf-8"),
        pytest.param(b"\x91" * 100_000, id="nested"),
        pytest.param(pack([AT_MS, ["dtmf", "1"]]) + b"\x00", id="trailing"),
    ],
)
def test_entry_that_is_no_event_raises_only_wire_error(data: bytes) -> None:
    with pytest.raises(WireError, match="not an event"):
        decode_event(data)


@given(st.binary() | JUNK.map(pack) | st.tuples(JUNK, st.tuples(TAGS, JUNK, JUNK)).map(pack))
def test_any_bytes_are_an_event_or_a_wire_error(data: bytes) -> None:
    with suppress(WireError):
        assert isinstance(decode_event(data), EventEnvelope)


@given(st.binary() | JUNK.map(pack) | st.tuples(TAGS, JUNK, JUNK).map(pack))
def test_any_bytes_are_a_command_or_a_wire_error(data: bytes) -> None:
    with suppress(WireError):
        assert isinstance(decode_command(data), get_args(Command))
