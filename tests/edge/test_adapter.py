from __future__ import annotations

import pytest

from common.errors import MessageError, ViolationError
from common.events import DtmfReceived
from edge.adapter import Ignored, Message, Receipt, Violated, guarded


class Reader:
    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    @guarded
    def receive(self, message: Message) -> list[Receipt]:
        if self._error is not None:
            raise self._error
        return [DtmfReceived("1")]


def test_what_is_understood_passes_through() -> None:
    assert Reader().receive("") == [DtmfReceived("1")]


def test_unusable_message_becomes_a_value() -> None:
    assert Reader(MessageError("malformed")).receive("") == [Ignored("malformed")]


def test_violation_becomes_a_value() -> None:
    assert Reader(ViolationError(1003, "binary")).receive("") == [Violated(1003, "binary")]


def test_bug_of_ours_stays_a_bug() -> None:
    with pytest.raises(KeyError):
        Reader(KeyError("x")).receive("")
