"""What holds of an adapter, and of a stream made of it, whatever a peer sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from common.events import CallEnded, CallStarted, Event
from common.wire import decode_event, encode_event
from edge.adapter import Adapter, Message, Receipt
from edge.stream import Stream
from tests.contract.conversation import Recorder

__all__ = ["check"]

_RECEIPTS = get_args(Receipt)


def check(adapter: Adapter, messages: Sequence[Message]) -> None:
    """Fifty messages a second, then the socket breaks."""
    recorder = Recorder(adapter)
    stream = Stream(recorder, lead_ms=200)
    events: list[Event] = []
    for number, message in enumerate(messages):
        events += stream.receive(message, now=number / 50)
        events += stream.tick(now=number / 50)
    events += stream.socket_closed(1006, now=1e6)
    assert all(isinstance(receipt, _RECEIPTS) for receipt in recorder.receipts)
    assert stream.close is not None
    kinds = [type(event) for event in events]
    assert kinds.count(CallStarted) == kinds.count(CallEnded) <= 1, kinds
    assert not events or (kinds[0], kinds[-1]) == (CallStarted, CallEnded), kinds
    for event in events:
        assert decode_event(encode_event(event, at_ms=0)).event == event
