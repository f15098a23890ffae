"""What a provider does not know of a call (a number withheld, say) may come as null, or not at all:
that must not cost the call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.events import CallStarted
from edge.adapter import Message, Receipt
from tests.contract.samples import sample

#: Of a start, what is told to the agent and otherwise not used.
FACTS = {
    "telnyx": [
        "user_id",
        "call_session_id",
        "from",
        "to",
        "tags",
        "client_state",
        "custom_parameters",
    ],
    "twilio": ["tracks", "customParameters"],
    "sunvone": ["callerId", "didNumber"],
}

every_fact = pytest.mark.parametrize(
    ("provider", "fact"), [(name, fact) for name, facts in FACTS.items() for fact in facts]
)


def answer_to(provider: str, start: Message) -> list[Receipt]:
    return sample(provider).adapter().receive(start)


def metadata_of(receipts: list[Receipt]) -> dict[str, Any]:
    (started,) = receipts
    assert isinstance(started, CallStarted)
    return started.metadata


def without(frame: Any, fact: str) -> Any:
    if not isinstance(frame, dict):
        return frame
    return {name: without(value, fact) for name, value in frame.items() if name != fact}


@every_fact
def test_fact_that_is_null_or_missing_is_not_told(provider: str, fact: str) -> None:
    told = sample(provider)
    all_facts = metadata_of(answer_to(provider, told.start))
    as_null = metadata_of(answer_to(provider, told.changed(told.start, **{fact: None})))
    missing = metadata_of(answer_to(provider, json.dumps(without(json.loads(told.start), fact))))
    assert as_null == missing
    assert as_null.items() <= all_facts.items()
    assert len(as_null) < len(all_facts)
