from __future__ import annotations

import asyncio

from common.tail import Entry
from common.wire import encode_event
from tests.workers.calls import ENDED, within
from workers.running.inbox import Inbox


async def test_entries_come_out_in_order() -> None:
    inbox = Inbox(4)
    inbox.feed([Entry(5, b"a"), Entry(6, b"b")])
    inbox.feed([Entry(7, b"c")])
    assert len(inbox) == 3
    await within(inbox.has_next())
    assert [inbox.next().data for _ in range(3)] == [b"a", b"b", b"c"]


async def test_it_waits_for_an_entry() -> None:
    inbox = Inbox(0)
    waiting = asyncio.create_task(inbox.has_next())
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.feed([Entry(1, b"a")])
    await within(waiting)


def test_the_last_event_stands_behind_the_others_and_ends_them() -> None:
    inbox = Inbox(4)
    inbox.feed([Entry(5, b"a")])
    assert inbox.feed_last(b"end")
    inbox.feed([Entry(6, b"late")])
    assert [inbox.next() for _ in range(len(inbox))] == [Entry(5, b"a"), Entry(6, b"end")]


def test_there_is_one_last_event() -> None:
    inbox = Inbox(4)
    assert inbox.feed_last(b"end")
    assert not inbox.feed_last(b"end")
    assert inbox.next() == Entry(5, b"end")
    assert len(inbox) == 0


def stop(sequence: int) -> Entry:
    return Entry(sequence, encode_event(ENDED, at_ms=0))


async def test_what_waits_before_the_end_can_be_skipped() -> None:
    inbox = Inbox(0)
    inbox.feed([Entry(1, b"a"), stop(2)])
    assert inbox.holds_end()
    assert inbox.skip_to_end()
    inbox.feed([Entry(3, b"late")])
    await within(inbox.has_next())
    assert inbox.next() == stop(2)
    assert len(inbox) == 0
    assert not inbox.skip_to_end()


async def test_an_end_that_was_not_fed_yet_can_be_skipped_to() -> None:
    inbox = Inbox(0)
    inbox.feed([Entry(1, b"a")])
    assert not inbox.holds_end()
    assert not inbox.foresee(Entry(8, b"no event"))
    assert inbox.foresee(stop(9))
    assert inbox.skip_to_end()
    assert [inbox.next() for _ in range(len(inbox))] == [stop(9)]


def test_an_end_that_has_come_is_not_skipped_to() -> None:
    inbox = Inbox(0)
    inbox.feed([stop(1)])
    assert inbox.holds_end()
    inbox.next()
    assert not inbox.skip_to_end()


def test_the_end_that_an_edge_could_not_tell_can_be_skipped_to() -> None:
    inbox = Inbox(0)
    inbox.feed([Entry(1, b"a")])
    inbox.feed_last(stop(0).data)
    assert inbox.holds_end()
    assert inbox.skip_to_end()
    assert inbox.next() == stop(2)


async def test_an_end_that_was_told_otherwise_is_not_skipped_to_after_it_has_come() -> None:
    """Its edge has died, and what it wrote before is found in Redis, behind what was not read."""
    inbox = Inbox(0)
    inbox.feed([Entry(1, b"a")])
    assert inbox.foresee(stop(500))
    assert inbox.feed_last(stop(0).data)
    inbox.next()
    inbox.next()
    inbox.end_has_come()
    assert inbox.foresee(stop(500))
    assert not inbox.skip_to_end()
