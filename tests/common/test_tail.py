from __future__ import annotations

from typing import Any

from common.errors import ReplyError
from common.tail import Entry, Tail, latest, parse_entry, read_latest


def entry(sequence: int, data: bytes = b"x") -> list[Any]:
    return [b"%d-0" % sequence, [b"e", data]]


def test_request_asks_for_what_comes_after_the_last_entry_read() -> None:
    tail: Tail[str] = Tail(count=7)
    tail.follow(b"a", "alice")
    tail.follow(b"b", "bob", after=5)
    assert tail.request() == (b"XREAD", b"COUNT", 7, b"STREAMS", b"a", b"b", b"0-0", b"5-0")
    list(tail.read([[b"a", [entry(1), entry(2)]]]))
    assert tail.request()[-2:] == (b"2-0", b"5-0")


def test_streams_can_be_asked_for_one_by_one() -> None:
    tail: Tail[str] = Tail(count=7)
    tail.follow(b"a", "alice")
    tail.follow(b"b", "bob", after=5)
    assert tail.single_requests() == {
        b"a": (b"XREAD", b"COUNT", 7, b"STREAMS", b"a", b"0-0"),
        b"b": (b"XREAD", b"COUNT", 7, b"STREAMS", b"b", b"5-0"),
    }


def test_each_owner_gets_the_entries_of_its_stream_in_order() -> None:
    tail: Tail[str] = Tail(count=7)
    tail.follow(b"a", "alice")
    tail.follow(b"b", "bob")
    tail.request()
    reply = [[b"b", [entry(1, b"1"), entry(2, b"2")]], [b"a", [entry(9, b"9")]]]
    assert list(tail.read(reply)) == [
        ("bob", [Entry(1, b"1"), Entry(2, b"2")]),
        ("alice", [Entry(9, b"9")]),
    ]


def test_nothing_new_is_an_empty_reply() -> None:
    tail: Tail[str] = Tail(count=7)
    tail.follow(b"a", "alice")
    assert list(tail.read(None)) == []


def test_stream_forgotten_while_the_reply_was_on_its_way_is_passed_over() -> None:
    tail: Tail[str] = Tail(count=7)
    tail.follow(b"a", "alice")
    assert tail.forget(b"a") == "alice"
    assert tail.forget(b"never followed") is None
    assert list(tail.read([[b"a", [entry(1)]]])) == []
    assert not tail


def test_stream_followed_anew_while_the_reply_was_on_its_way_is_passed_over() -> None:
    tail: Tail[str] = Tail(count=7)
    tail.follow(b"a", "alice", after=8)
    tail.request()
    tail.follow(b"a", "anna", after=5)
    assert list(tail.read([[b"a", [entry(9)]]])) == []
    assert tail.request()[-1] == b"5-0"
    assert list(tail.read([[b"a", [entry(6)]]])) == [("anna", [Entry(6, b"x")])]


def test_stream_is_forgotten_only_by_whom_it_belongs_to() -> None:
    tail: Tail[str] = Tail(count=7)
    tail.follow(b"a", "alice")
    tail.follow(b"a", "anna")
    assert tail.forget(b"a", "alice") is None
    assert tail.forget(b"a", "anna") == "anna"
    assert not tail


def test_stream_forgotten_by_the_owner_before_it_in_the_same_reply_is_passed_over() -> None:
    tail: Tail[str] = Tail(count=7)
    tail.follow(b"a", "alice")
    tail.follow(b"b", "bob")
    tail.request()
    owners = []
    for owner, _ in tail.read([[b"a", [entry(1)]], [b"b", [entry(1)]]]):
        owners.append(owner)
        tail.forget(b"b")
    assert owners == ["alice"]


def test_foreign_entry_without_fields_has_no_data() -> None:
    assert parse_entry([b"3-1", []]) == Entry(3, b"")


def test_the_latest_entry_can_be_asked_for() -> None:
    assert latest(b"a") == (b"XREVRANGE", b"a", b"+", b"-", b"COUNT", 1)
    assert read_latest([entry(12)]) == Entry(12, b"x")


def test_where_there_is_no_entry_or_no_stream_there_is_no_latest_one() -> None:
    assert read_latest([]) is None
    assert read_latest(ReplyError("WRONGTYPE")) is None
