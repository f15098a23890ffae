from __future__ import annotations

import itertools

from common.bus import Claim
from tests.workers.calls import claim
from workers.running.progress import Progress


def progress(begin: Claim | None = None) -> Progress:
    return Progress(begin or claim())


def test_nothing_done_is_nothing_to_commit() -> None:
    fresh = progress()
    assert fresh.is_settled
    assert fresh.next_commit(now=100.0) is None


def test_a_step_carries_what_is_new() -> None:
    call = progress()
    call.cursor, call.partial, call.state = 3, 1, b"state"
    call.commands += [b"one", b"two"]
    assert call.next_commit(now=100.0) == (1, 3, 1, b"state", [b"one", b"two"])


def test_at_most_one_commit_is_on_its_way() -> None:
    call = progress()
    call.commands.append(b"one")
    assert call.next_commit(now=100.0) is not None
    call.commands.append(b"two")
    call.cursor = 1
    assert call.next_commit(now=200.0) is None
    assert not call.is_settled


def test_what_happens_meanwhile_goes_into_the_next() -> None:
    call = progress()
    call.commands.append(b"one")
    call.next_commit(now=100.0)
    call.commands += [b"two", b"three"]
    call.committed()
    assert call.next_commit(now=100.0) == (2, 0, 0, None, [b"two", b"three"])


def test_commits_are_numbered_from_the_claim_on() -> None:
    call = progress(Claim(41, 7, 0, 99, b"", b""))
    call.commands.append(b"one")
    step = call.next_commit(now=100.0)
    assert step is not None
    assert (step.number, step.cursor) == (42, 7)


def test_state_is_sent_once() -> None:
    call = progress()
    call.state = b"new"
    step = call.next_commit(now=100.0)
    assert step is not None
    assert step.state == b"new"
    call.committed()
    call.commands.append(b"one")
    step = call.next_commit(now=100.0)
    assert step is not None
    assert step.state is None


def test_state_that_changes_while_a_commit_is_on_its_way_is_sent_next() -> None:
    call = progress()
    call.state = b"first"
    call.next_commit(now=100.0)
    call.state = b"second"
    call.committed()
    assert not call.is_settled
    step = call.next_commit(now=100.0)
    assert step is not None
    assert step.state == b"second"


def test_a_cursor_alone_is_committed_ten_times_a_second_at_most() -> None:
    call = progress()
    committed_at = []
    for tick in range(400):  # 50 events a second, looked at every 5 ms
        now = 100.0 + tick * 0.005
        call.cursor = 1 + tick // 4
        if call.next_commit(now=now) is not None:
            call.committed()
            committed_at.append(now)
    gaps = [after - before for before, after in itertools.pairwise(committed_at)]
    assert min(gaps) >= 0.1 - 1e-9
    assert 18 <= len(committed_at) <= 20


def test_commands_wait_for_no_cursor_timer() -> None:
    call = progress()
    call.cursor = 1
    assert call.next_commit(now=100.0) is not None
    call.committed()
    call.cursor = 2
    call.commands.append(b"one")
    assert call.next_commit(now=100.001) is not None


def test_a_call_is_settled_once_its_cursor_is_committed() -> None:
    call = progress()
    call.cursor = 1
    assert not call.is_settled
    call.next_commit(now=100.0)
    assert not call.is_settled
    call.committed()
    assert call.is_settled


def test_a_closed_call_commits_nothing_more() -> None:
    call = progress()
    call.commands.append(b"one")
    call.close()
    assert call.is_settled
    assert call.next_commit(now=100.0) is None


def test_a_call_in_a_hurry_commits_its_cursor_at_once() -> None:
    call = progress()
    call.cursor = 1
    call.next_commit(now=100.0)
    call.committed()
    call.cursor = 2
    assert call.next_commit(now=100.001) is None
    call.hurry()
    assert call.next_commit(now=100.001) is not None


def test_the_commit_on_its_way_can_be_repeated() -> None:
    call = progress()
    assert call.repeat() is None
    call.commands.append(b"one")
    step = call.next_commit(now=100.0)
    assert call.repeat() is step
    call.committed()
    assert call.repeat() is None


def test_what_was_answered_is_remembered_and_what_was_not_is_not() -> None:
    call = progress(Claim(41, 7, 0, 99, b"old", b""))
    assert call.remembered() == (41, 7, 0, b"old", 100, [])
    call.cursor, call.partial, call.state = 8, 1, b"new"
    call.commands += [b"one", b"two"]
    call.next_commit(now=100.0)
    assert call.remembered() == (41, 7, 0, b"old", 100, [])
    call.committed()
    call.commands.append(b"three")
    call.next_commit(now=100.1)
    assert call.remembered() == (42, 8, 1, b"new", 100, [b"one", b"two"])
    assert call.committed_cursor == 8


def test_commands_are_forgotten_after_a_while_and_the_rest_keep_their_numbers() -> None:
    call = progress()
    for second in range(10):
        call.commands += [b"%d-a" % second, b"%d-b" % second]
        call.next_commit(now=100.0 + second)
        call.committed()
    number, _, _, _, first, commands = call.remembered()
    assert number == 10
    assert commands == [b"7-a", b"7-b", b"8-a", b"8-b", b"9-a", b"9-b"]
    assert first == 15
