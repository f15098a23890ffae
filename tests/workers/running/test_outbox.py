from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from common.commands import SetMark
from common.wire import decode_command
from tests.workers.calls import claim
from workers.running.outbox import Outbox
from workers.running.progress import Progress


class Bench:
    def __init__(self, *, partial: int = 0) -> None:
        self.progress = Progress(claim(partial=partial))
        self.progressed = 0
        self.outbox = Outbox(self.progress, on_progress=self._progressed)

    def _progressed(self) -> None:
        self.progressed += 1

    @contextmanager
    def handler(self) -> Iterator[None]:
        self.outbox.begin_handler()
        yield
        self.outbox.end_handler()

    def issue(self, *names: str) -> None:
        for name in names:
            self.outbox.issue(SetMark(name))

    @property
    def issued(self) -> list[str]:
        commands = [decode_command(data) for data in self.progress.commands]
        return [command.name for command in commands if isinstance(command, SetMark)]


def test_a_handler_s_commands_are_partial_until_its_step_is_done() -> None:
    bench = Bench()
    with bench.handler():
        assert bench.outbox.is_handling
        bench.issue("a", "b")
        assert bench.progress.partial == 2
    bench.outbox.step_done(1, b"state")
    assert (bench.progress.cursor, bench.progress.partial, bench.progress.state) == (1, 0, b"state")
    assert bench.issued == ["a", "b"]
    assert bench.progressed == 3


def test_what_the_owner_before_has_issued_is_not_issued_again() -> None:
    bench = Bench(partial=2)
    with bench.handler():
        bench.issue("a", "b", "c")
    assert bench.issued == ["c"]
    assert bench.progress.partial == 3


def test_a_shorter_second_run_takes_nothing_from_the_next_handler() -> None:
    bench = Bench(partial=2)
    with bench.handler():
        bench.issue("a")
    bench.outbox.step_done(1, None)
    with bench.handler():
        bench.issue("b")
    assert bench.issued == ["b"]


def test_what_is_issued_beside_the_handlers_is_never_partial() -> None:
    bench = Bench(partial=1)
    bench.issue("nobody's")
    with bench.handler(), bench.outbox.beside():
        bench.issue("spawned")
    assert bench.issued == ["nobody's", "spawned"]
    assert bench.progress.partial == 1


async def test_a_task_belongs_to_the_handler_that_began_it_and_to_no_later_one() -> None:
    bench = Bench()
    may_go = asyncio.Event()

    async def later() -> None:
        await may_go.wait()
        bench.issue("late")

    with bench.handler():
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    bench.outbox.step_done(1, None)
    with bench.handler():
        may_go.set()
        await task
        assert bench.progress.partial == 0
    assert bench.issued == ["late"]


def test_a_handler_of_another_call_counts_nothing_here() -> None:
    one, other = Bench(), Bench()
    with one.handler():
        other.issue("a")
    assert (one.progress.partial, other.progress.partial) == (0, 0)
    assert other.issued == ["a"]


def test_a_closed_outbox_takes_nothing_and_moves_nothing() -> None:
    bench = Bench()
    with bench.handler():
        bench.issue("a")
        bench.outbox.close()
        bench.issue("b")
    bench.outbox.step_done(1, b"state")
    assert bench.issued == ["a"]
    assert (bench.progress.cursor, bench.progress.partial, bench.progress.state) == (0, 1, b"")
