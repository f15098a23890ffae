"""What holds of an adapter, and of a stream made of it, whatever a peer sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from common.events import CallEnded, CallStarted, Event
from common.wire import decode_event, encode_event
from edge.adapter import Adapter, Message, Ordering, Receipt, Traits
from edge.stream import Stream

__all__ = ["check"]

_RECEIPTS = get_args(Receipt)


def check(adapter: Adapter, messages: Sequence[Message]) -> None:
    """Fifty messages a second, then the socket breaks."""
    stream = Stream(_Checked(adapter), lead_ms=200)
    events: list[Event] = []
    for number, message in enumerate(messages):
        events += stream.receive(message, now=number / 50)
        events += stream.tick(now=number / 50)
    events += stream.socket_closed(1006, now=1e6)
    assert stream.close is not None
    kinds = [type(event) for event in events]
    assert kinds.count(CallStarted) == kinds.count(CallEnded) <= 1, kinds
    assert not events or (kinds[0], kinds[-1]) == (CallStarted, CallEnded), kinds
    for event in events:
        assert decode_event(encode_event(event, at_ms=0)).event == event


class _Checked:
    """An adapter that holds itself to its contract."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.send = adapter.send
        self.messages_to_send = adapter.messages_to_send

    @property
    def ordering(self) -> Ordering:
        return self._adapter.ordering

    @property
    def traits(self) -> Traits:
        return self._adapter.traits

    def receive(self, message: Message) -> list[Receipt]:
        receipts = self._adapter.receive(message)
        assert isinstance(receipts, list)
        assert all(isinstance(receipt, _RECEIPTS) for receipt in receipts), receipts
        return receipts
