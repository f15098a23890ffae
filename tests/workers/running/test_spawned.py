from __future__ import annotations

import asyncio

import pytest

from common.errors import AgentError
from tests.workers.calls import eventually, within
from workers.running.spawned import SpawnedWork


def spawned() -> tuple[SpawnedWork, list[BaseException]]:
    failures: list[BaseException] = []
    return SpawnedWork("c1", on_failed=failures.append), failures


async def test_work_runs_until_it_is_done() -> None:
    work, failures = spawned()
    done = asyncio.Event()

    async def finish() -> None:
        done.set()

    await within(work.start(finish()))
    assert done.is_set()
    await within(work.end())
    assert failures == []


async def test_what_it_raises_is_reported_once() -> None:
    work, failures = spawned()

    async def fail() -> None:
        raise ValueError("no")

    work.start(fail())
    await eventually(lambda: len(failures) == 1)
    assert isinstance(failures[0], ValueError)


async def test_an_exit_is_a_failure_of_the_agent() -> None:
    work, failures = spawned()

    async def leave() -> None:
        raise SystemExit(3)

    work.start(leave())
    await eventually(lambda: len(failures) == 1)
    assert isinstance(failures[0], AgentError)
    assert str(failures[0]) == "exits with 3"


async def test_the_end_cancels_what_runs_and_is_no_failure() -> None:
    work, failures = spawned()
    task = work.start(asyncio.Event().wait())  # type: ignore[arg-type]
    unbegun = work.start(asyncio.Event().wait())  # type: ignore[arg-type]
    await within(work.end())
    assert task.cancelled()
    assert unbegun.cancelled()
    assert failures == []


async def test_work_that_stays_is_left_behind_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("workers.running.spawned._END_S", 0.01)
    work, _ = spawned()
    may_end = asyncio.Event()

    async def stay() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    task = work.start(stay())
    await asyncio.sleep(0)
    await within(work.end())
    assert "does not end" in caplog.text
    may_end.set()
    await within(task)
