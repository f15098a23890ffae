"""Every conversation of every provider, held again: what each message means, what each command
becomes, and that detection finds the same."""

from __future__ import annotations

from typing import get_args

import pytest

from common.commands import Command
from common.events import CallEnded, CallStarted
from edge.adapter import MediaReceived
from edge.providers import providers
from tests.contract.conversation import (
    Conversation,
    Outcome,
    conversations,
    open_adapter,
    play,
    the_command,
)
from tests.contract.samples import PROVIDERS, entered

ALL = [pytest.param(c, id=f"{c.provider}/{c.case}") for c in conversations()]


def held(conversation: Conversation, *, detect: bool = False) -> list[Outcome]:
    return list(play(open_adapter(conversation, detect=detect), conversation))


def expected(conversation: Conversation) -> list[Outcome]:
    return [line.expected for line in conversation.lines]


def of(provider: str) -> list[Conversation]:
    return [c for c in conversations() if c.provider == provider]


@pytest.mark.parametrize("conversation", ALL)
def test_conversation_means_what_it_says(conversation: Conversation) -> None:
    assert held(conversation) == expected(conversation)


@pytest.mark.parametrize("conversation", ALL)
def test_detection_finds_the_provider_and_loses_nothing(conversation: Conversation) -> None:
    assert held(conversation, detect=True) == expected(conversation)


def test_every_provider_has_conversations_and_every_conversation_a_provider() -> None:
    assert {c.provider for c in conversations()} == set(providers())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_reference_shows_audio_start_and_end(provider: str) -> None:
    (reference,) = [c for c in of(provider) if c.case == "reference"]
    means = [type(receipt) for _, receipts in entered(reference) for receipt in receipts]
    assert {CallStarted, MediaReceived, CallEnded} <= set(means)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_conversations_show_every_command(provider: str) -> None:
    commands = [the_command(line.command) for c in of(provider) for line in c.lines if line.command]
    assert {type(command) for command in commands} == set(get_args(Command))
