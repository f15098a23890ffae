"""A new provider is one file and its conversations: nothing else has to name it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge.providers
from common.errors import SettingsError
from common.events import CallStarted
from edge.configuration import provider_settings
from edge.entrances import DETECT, entrances
from tests.contract.conversation import conversations, open_adapter, play
from tests.contract.running_edge import running_edge

PARROT = """
from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from common.audio import AudioFormat
from common.commands import Command, PlayAudio
from common.events import CallEnded, CallStarted, EndReason
from edge.adapter import (
    FirstFrame, Ignored, MediaReceived, Message, Ordering, Provider, Receipt, Recognition, Traits,
)


class ParrotOptions(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(description="what the parrot is called")] = "Polly"


class ParrotAdapter:
    ordering = Ordering()
    traits = Traits()

    def __init__(self, options: ParrotOptions) -> None:
        self._name = options.name
        self._to_send: list[Message] = []

    def receive(self, message: Message) -> list[Receipt]:
        match message:
            case bytes():
                return [MediaReceived(message)]
            case '{"squawk":"hello"}':
                return [CallStarted("parrot", AudioFormat.pcmu(), self._name)]
            case '{"squawk":"bye"}':
                return [CallEnded(EndReason.CALLER_HUNG_UP)]
        return [Ignored("unknown_event")]

    def send(self, command: Command) -> None:
        if isinstance(command, PlayAudio):
            self._to_send.append(command.payload)

    def messages_to_send(self) -> list[Message]:
        messages, self._to_send = self._to_send, []
        return messages


def recognise(frame: FirstFrame) -> Recognition:
    return Recognition.YES if "squawk" in frame else Recognition.NO


PROVIDER = Provider("parrot", ParrotOptions, ParrotAdapter, recognise)
"""

CONVERSATION = """\
{"about": "A parrot says hello and goodbye", "settings": {"TRUNKLINE_PARROT_NAME": "Coco"}}
{"at_ms": 0, "received": {"squawk":"hello"}, "events": [{"CallStarted": {"provider": "parrot", \
"format": "PCMU/8000", "provider_call_id": "Coco"}}]}
{"at_ms": 10, "command": {"PlayAudio": {"payload": "ff*160"}}, "sent": ["ff*160"]}
{"at_ms": 20, "received_bytes": "0102", "receipts": [{"MediaReceived": {"payload": "0102"}}], \
"events": [{"AudioReceived": {"payload": "0102", "offset_ms": 0, "sequence": 1}}]}
{"at_ms": 30, "received": {"squawk":"bye"}, "events": [{"CallEnded": {"reason": \
"caller_hung_up"}}], "closes": "1000"}
"""


@pytest.fixture(autouse=True)
def parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with one file more to look for providers in."""
    (tmp_path / "parrot.py").write_text(PARROT)
    monkeypatch.setattr(edge.providers, "__path__", [*edge.providers.__path__, str(tmp_path)])
    yield
    sys.modules.pop("edge.providers.parrot", None)
    vars(edge.providers).pop("parrot", None)


def test_provider_has_an_entrance_of_its_own() -> None:
    assert "parrot" in entrances({})


def test_provider_is_detected() -> None:
    (started,) = entrances({})[DETECT].open_adapter().receive('{"squawk":"hello"}')
    assert isinstance(started, CallStarted)
    assert (started.provider, started.provider_call_id) == ("parrot", "Polly")


def test_providers_settings_are_read_and_listed() -> None:
    (started,) = (
        entrances({"TRUNKLINE_PARROT_NAME": "Coco"})["parrot"]
        .open_adapter()
        .receive('{"squawk":"hello"}')
    )
    assert isinstance(started, CallStarted)
    assert started.provider_call_id == "Coco"
    assert "TRUNKLINE_PARROT_NAME" in {setting.variable for setting in provider_settings()}


def test_two_faults_of_two_providers_are_reported_together() -> None:
    with pytest.raises(SettingsError) as raised:
        entrances({"TRUNKLINE_WAVIX_FORMAT": "x", "TRUNKLINE_TELNYX_REORDER_MS": "x"})
    assert len(raised.value.faults) == 2


def test_providers_conversations_are_held(tmp_path: Path) -> None:
    (tmp_path / "parrot").mkdir()
    (tmp_path / "parrot" / "reference.jsonl").write_text(CONVERSATION)
    (conversation,) = conversations(tmp_path)
    expected = [line.expected for line in conversation.lines]
    for detect in (False, True):
        assert list(play(open_adapter(conversation, detect=detect), conversation)) == expected


@pytest.mark.parametrize("path", ["/media/parrot", "/"])
async def test_provider_may_call(redis_url: str, path: str) -> None:
    async with running_edge(redis_url) as edge, edge.peer(path) as peer:
        assert peer.answer.startswith("HTTP/1.1 101 ")
        peer.say('{"squawk":"hello"}')
        peer.say('{"squawk":"bye"}')
        assert await peer.close_code() == 1000
        text = await edge.get("/metrics")
        assert 'trunkline_edge_calls_started_total{provider="parrot"} ' in text
