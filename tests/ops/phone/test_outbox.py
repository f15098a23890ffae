from __future__ import annotations

import math

from ops.phone.outbox import Outbox


def test_messages_leave_at_their_time_and_in_order() -> None:
    outbox = Outbox()
    outbox.put(["late"], at=3.0)
    outbox.put(["a", "b"], at=2.0)
    outbox.put(["c"], at=2.0)
    outbox.put([b"early"], at=1.0)
    assert outbox.next_time == 1.0
    assert outbox.take_due(now=0.9) == []
    assert outbox.take_due(now=2.0) == [b"early", "a", "b", "c"]
    assert outbox.next_time == 3.0


def test_all_can_be_taken_at_once() -> None:
    outbox = Outbox()
    outbox.put(["second"], at=20.0)
    outbox.put(["first"], at=10.0)
    assert outbox.take_all() == ["first", "second"]
    assert outbox.take_all() == []
    assert outbox.next_time == math.inf
