from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from common import bus
from common.bus import Claim
from common.commands import SetMark
from common.events import DtmfReceived
from common.link import Link
from common.writer import Writer
from tests.workers.calls import LANE, Rig, announce, commands_in, eventually
from workers.agent import Agent
from workers.call import Call
from workers.ownership.committer import Committer
from workers.ownership.owned_call import OwnedCall
from workers.ownership.restoration import Restoration

OpenRig = Callable[..., Rig]

TOKEN = "worker-1:1"


class Pressed(Agent):
    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        await call.mark(dtmf.digit)


class Bench:
    """One call of ours that commits, and is restored when a commit is refused."""

    def __init__(self, rig: Rig, writer: Writer) -> None:
        self.rig = rig
        self.restored: list[OwnedCall] = []
        self.lost: list[OwnedCall] = []
        self.call = OwnedCall(LANE.keys("c1"), TOKEN, "edge-1", rig.runner)
        self.gone: list[OwnedCall] = []
        self.restoration = Restoration(
            writer,
            lease_ms=60_000,
            on_restored=self._restored,
            on_lost=self.lost.append,
            on_gone=self.gone.append,
        )
        self.committer = Committer(
            writer,
            on_committed=lambda call: None,
            on_refused=self.restoration.begin,
            on_lost=self.lost.append,
        )
        rig.runner._outbox._on_progress = lambda: self.committer.progressed(self.call)

    def _restored(self, call: OwnedCall) -> None:
        self.restored.append(call)
        self.committer.repeat(call)

    async def press(self, digits: str) -> None:
        for digit in digits:
            self.rig.feed(DtmfReceived(digit))
        await self.rig.handled()
        await eventually(lambda: self.rig.runner.is_settled or bool(self.lost))


@pytest.fixture
async def bench(rig: OpenRig, link: Link, writer: Writer) -> Bench:
    keys = await announce(link, "c1")
    (reply,) = await link.execute([bus.claim(keys, TOKEN)])
    claim = bus.read_claim(reply)
    assert isinstance(claim, Claim)
    bench = Bench(rig(Pressed, claim), writer)
    await bench.press("123")
    return bench


def marks(digits: str) -> list[SetMark]:
    return [SetMark(digit) for digit in digits]


async def announce_again(link: Link, *, read_up_to: int = 0) -> None:
    """As the edge does when Redis has come back empty."""
    keys = LANE.keys("c1")
    request = bus.announce(keys, "edge-1", b"start", read_up_to=read_up_to, keep_ms=60_000)
    assert await link.execute([request]) == [1]


async def test_a_redis_that_came_back_empty_is_given_everything(
    bench: Bench, link: Link, redis: Redis
) -> None:
    await redis.flushdb()
    await announce_again(link, read_up_to=2)
    await bench.press("4")
    keys = bench.call.keys
    # What the edge has read is not given back; numbers go on.
    assert await commands_in(redis, keys) == marks("34")
    entries: Any = await redis.xrange(keys.commands)
    assert [entry_id for entry_id, _ in entries] == [b"3-0", b"4-0"]
    assert await redis.hmget(keys.call, "token", "cursor", "out") == [TOKEN.encode(), b"4", b"4"]
    assert bench.restored == [bench.call]
    assert not bench.lost


async def test_it_waits_for_the_edge_to_announce_the_call(
    bench: Bench, link: Link, redis: Redis
) -> None:
    await redis.flushdb()
    bench.rig.feed(DtmfReceived("4"))
    await eventually(lambda: bool(bench.restoration._asked))
    await announce_again(link)
    await eventually(lambda: bench.rig.runner.is_settled)
    assert await commands_in(redis, bench.call.keys) == marks("1234")


async def test_the_last_steps_lost_in_a_failover_are_given_back(bench: Bench, redis: Redis) -> None:
    keys = bench.call.keys
    await redis.hset(keys.call, mapping={"commit": 0, "cursor": 0, "out": 0, "state": ""})
    await redis.delete(keys.commands)
    await bench.press("4")
    assert await commands_in(redis, keys) == marks("1234")
    assert await redis.hmget(keys.call, "cursor", "out") == [b"4", b"4"]


async def test_a_call_that_nobody_announces_again_is_gone(
    bench: Bench, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ownership.restoration._PATIENCE_S", 0.2)
    await redis.flushdb()
    bench.rig.feed(DtmfReceived("4"))
    await eventually(lambda: bench.gone == [bench.call])
    assert (bench.lost, bench.restored) == ([], [])


async def test_a_call_that_another_owner_has_ended_is_lost(bench: Bench, link: Link) -> None:
    keys = bench.call.keys
    await link.execute([(b"HSET", keys.call, b"token", b"worker-2:1")])
    await link.execute([bus.finish(keys, "worker-2:1")])
    await bench.press("4")
    assert (bench.lost, bench.gone) == ([bench.call], [])


async def test_a_call_that_another_owns_is_lost(bench: Bench, redis: Redis) -> None:
    await redis.hset(bench.call.keys.call, "token", "worker-2:1")
    await bench.press("4")
    assert bench.lost == [bench.call]
    assert await commands_in(redis, bench.call.keys) == marks("123")


async def test_commits_that_stay_out_of_step_lose_the_call(
    bench: Bench, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.hset(bench.call.keys.call, "commit", 99)
    await bench.press("4")
    assert bench.lost == [bench.call]
    assert "out of step" in caplog.text


async def test_an_answer_for_a_call_that_has_ended_means_nothing(
    bench: Bench, redis: Redis
) -> None:
    await redis.hset(bench.call.keys.call, "token", "worker-2:1")
    bench.restoration.begin(bench.call)
    bench.restoration.begin(bench.call)
    bench.restoration.forget(bench.call)
    await bench.restoration._writer.ask((b"PING",))
    assert (bench.lost, bench.restored) == ([], [])


async def test_a_restore_that_redis_refuses_loses_the_call(
    bench: Bench, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    keys = bench.call.keys
    await redis.hset(keys.call, mapping={"commit": 0, "out": 0})
    await redis.delete(keys.commands)
    await redis.set(keys.commands, "no stream")
    bench.restoration.begin(bench.call)
    await eventually(lambda: bench.lost == [bench.call])
    assert "Redis refused a restore" in caplog.text
