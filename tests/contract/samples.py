"""Messages of a provider, taken from its conversation `reference.jsonl`: what a test needs to speak
for any provider that the project knows, or will know."""

from __future__ import annotations

import functools
import json
from typing import Any, NamedTuple

from common.events import CallEnded, CallStarted, DtmfReceived
from edge.adapter import (
    Adapter,
    HungUp,
    KeyPressed,
    MarkEchoed,
    MediaReceived,
    Message,
    Receipt,
)
from edge.entrances import entrances
from edge.providers import providers
from tests.contract.conversation import Conversation, conversations, open_adapter

__all__ = ["PROVIDERS", "Sample", "entered", "sample"]

PROVIDERS = sorted(providers())


class Sample(NamedTuple):
    """`opening` ends with the start; None where the provider has no such message."""

    provider: str
    settings: dict[str, str]
    opening: list[Message]
    media: Message
    stop: Message
    key: Message | None
    echo: Message | None

    def opened(self) -> Adapter:
        """An adapter whose call has started."""
        adapter = self.adapter()
        for message in self.opening:
            adapter.receive(message)
        return adapter

    def adapter(self) -> Adapter:
        return entrances(self.settings)[self.provider].open_adapter()

    @property
    def start(self) -> str:
        start = self.opening[-1]
        assert isinstance(start, str)
        return start

    @property
    def is_text(self) -> bool:
        """Whether audio comes as text."""
        return isinstance(self.media, str)

    def echo_of(self, name: str) -> Message:
        assert isinstance(self.echo, str)
        frame = json.loads(self.echo)
        return json.dumps(_with(frame, "name", name))

    def changed(self, message: Message, **fields: Any) -> str:
        """A message with other values, wherever its fields lie."""
        assert isinstance(message, str)
        frame = json.loads(message)
        for name, value in fields.items():
            frame = _with(frame, name, value)
        return json.dumps(frame)


def _with(value: Any, name: str, changed: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: changed if key == name else _with(inner, name, changed)
            for key, inner in value.items()
        }
    return value


def entered(conversation: Conversation) -> list[tuple[Message, list[Receipt]]]:
    """Every message of a conversation with what the adapter says that it means."""
    adapter = open_adapter(conversation)
    return [(message, adapter.receive(message)) for message in conversation.messages]


@functools.cache
def sample(provider: str) -> Sample:
    (reference,) = [c for c in conversations() if (c.provider, c.case) == (provider, "reference")]
    messages = entered(reference)
    start = next(i for i, (_, means) in enumerate(messages) if _is(means, CallStarted))

    def first(*kinds: type) -> Message | None:
        return next((message for message, means in messages if _is(means, *kinds)), None)

    media, stop = first(MediaReceived), first(CallEnded, HungUp)
    assert media is not None
    assert stop is not None
    return Sample(
        provider,
        reference.head.settings,
        [message for message, _ in messages[: start + 1]],
        media,
        stop,
        first(DtmfReceived, KeyPressed),
        first(MarkEchoed),
    )


def _is(means: list[Receipt], *kinds: type) -> bool:
    return any(isinstance(receipt, kinds) for receipt in means)
