from __future__ import annotations

import asyncio

from common.tail import Entry
from tests.workers.calls import within
from workers.inbox import Inbox


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
