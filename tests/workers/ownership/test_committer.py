from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from common import bus
from common.bus import Claim
from common.commands import SetMark
from common.errors import ReplyError
from common.events import DtmfReceived
from common.link import Link, Request
from common.writer import Writer
from tests.workers.calls import (
    LANE,
    STARTED,
    Rig,
    announce,
    audio,
    commands_in,
    eventually,
)
from workers.agent import Agent
from workers.call import Call
from workers.ownership.committer import Committer
from workers.ownership.owned_call import OwnedCall

OpenRig = Callable[..., Rig]

TOKEN = "worker-1:1"


class Pressed(Agent):
    """A mark for every key; nothing for audio, so that only the cursor moves."""

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        await call.mark(dtmf.digit)


class HeldWriter(Writer):
    """Keeps what is submitted; the test answers."""

    def __init__(self) -> None:
        super().__init__(Link("redis://unused", timeout_s=1.0), tick_s=0.0)
        self.submitted: list[tuple[Request, Callable[[Any], object]]] = []

    def submit(self, request: Request, on_reply: Callable[[Any], object]) -> None:
        self.submitted.append((request, on_reply))

    def answer(self, reply: bytes | ReplyError) -> None:
        self.submitted.pop(0)[1](reply)


class Bench:
    """One call, its committer, and which calls were lost."""

    def __init__(self, rig: Rig, writer: Writer) -> None:
        self.rig = rig
        self.lost: list[OwnedCall] = []
        self.refused: list[OwnedCall] = []
        self.committed: list[OwnedCall] = []
        self.committer = Committer(
            writer,
            on_committed=self.committed.append,
            on_refused=self.refused.append,
            on_lost=self.lost.append,
        )
        self.call = OwnedCall(LANE.keys("c1"), TOKEN, "edge-1", rig.runner)
        rig.runner._outbox._on_progress = lambda: self.committer.progressed(self.call)


@pytest.fixture
async def held(rig: OpenRig) -> AsyncIterator[tuple[Bench, HeldWriter]]:
    writer = HeldWriter()
    bench = Bench(rig(Pressed), writer)
    yield bench, writer
    if bench.committer._timer is not None:
        bench.committer._timer.cancel()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def owned(link: Link, rig: OpenRig, writer: Writer) -> Bench:
    keys = await announce(link, "c1")
    (reply,) = await link.execute([bus.claim(keys, TOKEN)])
    claim = bus.read_claim(reply)
    assert isinstance(claim, Claim)
    return Bench(rig(Pressed, claim), writer)


async def test_commits_reach_redis_in_order(
    rig: OpenRig, link: Link, writer: Writer, redis: Redis
) -> None:
    bench = await owned(link, rig, writer)
    for digit in "12345":
        bench.rig.feed(DtmfReceived(digit))
        await asyncio.sleep(0)
    await eventually(lambda: bench.rig.runner.is_settled)
    assert await commands_in(redis, bench.call.keys) == [SetMark(digit) for digit in "12345"]
    assert await redis.hget(bench.call.keys.call, "cursor") == b"5"
    assert not bench.lost


async def test_handlers_of_one_pass_share_a_commit(held: tuple[Bench, HeldWriter]) -> None:
    bench, writer = held
    bench.rig.feed(STARTED, DtmfReceived("1"), DtmfReceived("2"), DtmfReceived("3"))
    await settle()
    assert len(writer.submitted) == 1
    assert len(writer.submitted[0][0][-3:]) == 3


async def test_one_commit_is_on_its_way_at_most(held: tuple[Bench, HeldWriter]) -> None:
    bench, writer = held
    for digit in "123":
        bench.rig.feed(DtmfReceived(digit))
        await settle()
    assert len(writer.submitted) == 1
    writer.answer(b"COMMITTED")
    await settle()
    assert len(writer.submitted) == 1  # the two that came meanwhile, together


async def test_a_commit_that_was_applied_before_counts_as_committed(
    held: tuple[Bench, HeldWriter],
) -> None:
    bench, writer = held
    bench.rig.feed(DtmfReceived("1"))
    await settle()
    writer.answer(b"ALREADY")
    await settle()
    assert bench.rig.runner.is_settled
    assert not bench.lost


@pytest.mark.parametrize("answer", [b"FENCED", b"CONFLICT", b"GONE"])
async def test_a_refused_commit_stays_on_its_way_until_it_is_repeated(
    held: tuple[Bench, HeldWriter], answer: bytes
) -> None:
    bench, writer = held
    bench.rig.feed(DtmfReceived("1"))
    await settle()
    first = writer.submitted[0][0]
    writer.answer(answer)
    await settle()
    assert (bench.refused, bench.lost) == ([bench.call], [])
    assert not writer.submitted
    bench.committer.repeat(bench.call)
    assert [request for request, _ in writer.submitted] == [first]


async def test_a_commit_that_was_not_refused_is_not_sent_twice(
    held: tuple[Bench, HeldWriter],
) -> None:
    """The loss may be found out, and mended, while the commit is still on its way."""
    bench, writer = held
    bench.rig.feed(DtmfReceived("1"))
    await settle()
    bench.committer.repeat(bench.call)
    await settle()
    assert len(writer.submitted) == 1
    writer.answer(b"COMMITTED")
    assert bench.committed == [bench.call]


async def test_a_commit_that_redis_cannot_carry_out_loses_the_call(
    held: tuple[Bench, HeldWriter], caplog: pytest.LogCaptureFixture
) -> None:
    bench, writer = held
    bench.rig.feed(DtmfReceived("1"))
    await settle()
    writer.answer(ReplyError("ERR syntax"))
    assert bench.lost == [bench.call]
    assert "Redis refused a commit: ERR syntax" in caplog.text


async def test_another_owner_s_token_fences_us_off(
    rig: OpenRig, link: Link, writer: Writer, redis: Redis
) -> None:
    bench = await owned(link, rig, writer)
    await redis.hset(bench.call.keys.call, "token", "worker-2:1")
    bench.rig.feed(DtmfReceived("1"))
    await eventually(lambda: bool(bench.refused))
    assert await commands_in(redis, bench.call.keys) == []


async def test_a_commit_to_keys_that_are_gone_is_refused(
    rig: OpenRig, link: Link, writer: Writer, redis: Redis
) -> None:
    bench = await owned(link, rig, writer)
    await redis.flushdb()
    bench.rig.feed(DtmfReceived("1"))
    await eventually(lambda: bool(bench.refused))
    assert await redis.keys() == []


async def test_a_cursor_alone_is_committed_later_and_once(
    held: tuple[Bench, HeldWriter],
) -> None:
    bench, writer = held
    bench.rig.feed(audio(1))
    await settle()
    writer.answer(b"COMMITTED")
    for number in range(2, 12):
        bench.rig.feed(audio(number))
        await settle()
    assert not writer.submitted
    await eventually(lambda: bool(writer.submitted))
    writer.answer(b"COMMITTED")
    assert bench.rig.runner.is_settled


async def test_a_forgotten_call_is_not_looked_at_again(held: tuple[Bench, HeldWriter]) -> None:
    bench, writer = held
    bench.rig.runner._progress.commands.append(b"command")
    bench.committer.progressed(bench.call)
    bench.committer.forget(bench.call)
    await settle()
    assert not writer.submitted


async def test_the_end_of_a_call_during_a_commit_leaves_nothing_to_commit(
    held: tuple[Bench, HeldWriter],
) -> None:
    bench, writer = held
    bench.rig.feed(DtmfReceived("1"))
    await settle()
    bench.rig.feed(DtmfReceived("2"))
    await settle()
    bench.rig.task.cancel()
    await settle()
    bench.committer.forget(bench.call)
    writer.answer(b"COMMITTED")
    await settle()
    assert not writer.submitted
    assert not bench.committer._progressed
