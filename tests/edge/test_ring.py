from __future__ import annotations

from edge.ring import Ring


def ring(*appended_at: float, acknowledged: int = 0) -> Ring:
    """Keeps events for ten seconds."""
    ring = Ring(keep_s=10.0)
    for number, at in enumerate(appended_at):
        ring.append(b"%d" % (number + 1), now=at)
        if number < acknowledged:
            ring.acknowledge()
    return ring


def data(ring: Ring, stored: int = 0) -> list[bytes]:
    return [event.data for event in ring.after(stored)]


def test_events_are_numbered_from_one_on() -> None:
    empty = Ring(keep_s=10.0)
    assert [empty.append(b"x", now=0.0) for _ in range(3)] == [1, 2, 3]
    assert [event.sequence for event in empty.after(0)] == [1, 2, 3]


def test_what_was_acknowledged_is_kept_for_a_while() -> None:
    assert data(ring(0.0, 1.0, 10.0, acknowledged=3)) == [b"1", b"2", b"3"]
    assert data(ring(0.0, 1.0, 10.5, acknowledged=3)) == [b"2", b"3"]


def test_what_was_not_acknowledged_is_kept_for_ever() -> None:
    assert data(ring(0.0, 1.0, 1000.0, acknowledged=1)) == [b"2", b"3"]


def test_only_what_the_server_lacks_is_given_again() -> None:
    assert data(ring(0.0, 1.0, 2.0, 3.0, acknowledged=3), stored=2) == [b"3", b"4"]
    assert data(ring(0.0, 1.0, acknowledged=2), stored=2) == []


def test_acknowledgements_go_on_from_what_was_given_again() -> None:
    kept = ring(0.0, 1.0, 2.0, acknowledged=3)
    assert kept.is_stored
    kept.after(1)
    assert not kept.is_stored
    kept.acknowledge()
    assert not kept.is_stored
    kept.acknowledge()
    assert kept.is_stored


def test_what_is_gone_from_the_ring_is_not_waited_for() -> None:
    kept = ring(0.0, 1.0, 20.0, acknowledged=3)
    assert data(kept, stored=1) == [b"3"]
    kept.acknowledge()
    assert kept.is_stored


def test_server_that_has_more_than_it_acknowledged_is_believed() -> None:
    kept = ring(0.0, 1.0, 2.0, acknowledged=1)
    assert data(kept, stored=3) == []
    assert kept.is_stored
