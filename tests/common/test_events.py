"""The rules of the vocabulary; what each event looks like in Redis stands in `test_wire.py`."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from common.events import CallEnded, CallStarted, EndReason, Event, MarkOutcome
from edge.providers import providers

EVENTS = pytest.mark.parametrize("event", get_args(Event))


@EVENTS
def test_event_cannot_be_changed(event: Any) -> None:
    assert event.__struct_config__.frozen
    assert event.__struct_config__.array_like


@EVENTS
def test_fields_that_were_appended_have_defaults(event: Any) -> None:
    required = [field.required for field in msgspec.structs.fields(event)]
    assert required == sorted(required, reverse=True)


def test_tags_are_those_of_the_canonical_union() -> None:
    tags = [event.__struct_config__.tag for event in get_args(Event)]
    assert tags == ["start", "audio", "dtmf", "mark", "error", "stop"]


def test_nothing_names_a_provider() -> None:
    words = {field for event in get_args(Event) for field in event.__struct_fields__}
    words |= {*EndReason, *MarkOutcome}
    assert not [word for word in words for provider in providers() if provider in word]


def test_events_do_not_share_their_metadata() -> None:
    assert CallEnded(EndReason.NOT_TAKEN).metadata is not CallEnded(EndReason.NOT_TAKEN).metadata
    assert "metadata" in CallStarted.__struct_fields__
