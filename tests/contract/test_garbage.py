"""Whatever a peer sends, an adapter answers with values, and a stream keeps its rules."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.adapter import Message
from edge.entrances import DETECT, entrances
from tests.contract.conversation import Conversation, conversations, open_adapter
from tests.contract.samples import PROVIDERS
from tests.contract.whatever_comes import check

every_entrance = pytest.mark.parametrize("entrance", [*PROVIDERS, DETECT])
every_provider = pytest.mark.parametrize("provider", PROVIDERS)

ODD: list[Any] = [
    None, True, -1, 1.5, 2**53, 2**64, 10**400, "", "x" * 200, "\0", "\ud800", [], {}, [[]],
    {"event": "start"}, "MP3", "L16", "NaN", "0" * 5000,
]  # fmt: skip

anything = st.one_of(
    st.text(st.characters()),
    st.binary(),
    st.sampled_from(
        ["", "null", "[]", "{}", '{"event":null}', '{"event":[]}', "\ufeff{}", "[" * 99]
    ),
)


def of(provider: str) -> list[Conversation]:
    return [c for c in conversations() if c.provider == provider]


@every_entrance
@given(messages=st.lists(anything, max_size=5))
def test_anything_at_all_is_answered_with_values(entrance: str, messages: list[Message]) -> None:
    check(entrances({})[entrance].open_adapter(), messages)


@every_provider
@given(data=st.data())
def test_anything_may_come_amid_a_call(provider: str, data: st.DataObject) -> None:
    conversation = data.draw(st.sampled_from(of(provider)))
    messages = list(conversation.messages)
    for message in data.draw(st.lists(anything, min_size=1, max_size=5)):
        messages.insert(data.draw(st.integers(0, len(messages))), message)
    check(open_adapter(conversation), messages)


@every_provider
@pytest.mark.parametrize("detect", [False, True], ids=["", "detected"])
@given(data=st.data())
def test_conversation_that_was_tampered_with_harms_nobody(
    provider: str, detect: bool, data: st.DataObject
) -> None:
    conversation = data.draw(st.sampled_from(of(provider)))
    dice = data.draw(st.randoms(use_true_random=False))
    messages = list(conversation.messages)
    for _ in range(data.draw(st.integers(1, 6))):
        _tamper(messages, dice)
    check(open_adapter(conversation, detect=detect), messages)


def _tamper(messages: list[Message], dice: random.Random) -> None:
    """Drop, double, swap, cut or alter."""
    if not messages:
        return
    one, other = dice.randrange(len(messages)), dice.randrange(len(messages))
    match dice.randrange(6):
        case 0:
            del messages[one]
        case 1:
            messages.insert(other, messages[one])
        case 2:
            messages[one], messages[other] = messages[other], messages[one]
        case 3:
            messages[one] = messages[one][: dice.randrange(1 + len(messages[one]))]
        case _:
            messages[one] = _altered(messages[one], dice)


def _altered(message: Message, dice: random.Random) -> Message:
    """One value of a frame is another, or gone."""
    if isinstance(message, bytes):
        return message.decode("latin-1")
    try:
        frame = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError):
        return message.encode(errors="surrogatepass")
    inner = frame
    while isinstance(inner, dict) and inner:
        name = dice.choice(sorted(inner))
        if not isinstance(inner[name], dict) or dice.random() < 0.2:
            inner[name] = dice.choice(ODD)
            if dice.random() < 0.3:
                del inner[name]
            break
        inner = inner[name]
    return _json(frame)


def _json(frame: Any) -> str:
    """As lenient as a peer that writes its JSON by hand: half surrogate pairs, huge numbers."""
    return json.dumps(frame, ensure_ascii=False)
