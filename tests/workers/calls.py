"""What the tests of a worker's parts share: calls as an edge would leave them, and a runner to
feed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from redis.asyncio import Redis

from common import bus
from common.audio import AudioFormat
from common.bus import Claim, Commit, CommitAnswer
from common.commands import Command
from common.errors import ReplyError
from common.events import AudioReceived, CallEnded, CallStarted, EndReason, Event
from common.keys import CallKeys, Lane, lanes
from common.link import Link
from common.tail import Entry
from common.wire import decode_command, encode_event
from workers.agent import Agent
from workers.call import Call
from workers.running.call_runner import CallRunner, Surroundings
from workers.running.gate import Gate

__all__ = [
    "ENDED",
    "LANE",
    "STARTED",
    "FakeRuntime",
    "Rig",
    "announce",
    "append",
    "audio",
    "call_on",
    "claim",
    "commands_in",
    "eventually",
    "within",
]

STARTED = CallStarted("twilio", AudioFormat.pcmu(), "CA1", "MZ1", metadata={"tracks": ["inbound"]})
ENDED = CallEnded(EndReason.CALLER_HUNG_UP)
LANE: Lane = lanes("test", 1)[0]

_DEADLINE_S = 20.0


def audio(sequence: int = 1, payload: bytes = b"\xff" * 160) -> AudioReceived:
    return AudioReceived(payload, (sequence - 1) * 20, sequence)


def claim(
    *, cursor: int = 0, partial: int = 0, state: bytes = b"", started: Event = STARTED
) -> Claim:
    """A call that its runner takes up for the first time, unless told otherwise."""
    return Claim(0, cursor, partial, 0, state, encode_event(started, at_ms=0))


async def within(awaitable: Awaitable[Any], timeout_s: float = _DEADLINE_S) -> Any:
    async with asyncio.timeout(timeout_s):
        return await awaitable


async def eventually(
    is_so: Callable[[], bool | Awaitable[bool]], timeout_s: float = _DEADLINE_S
) -> None:
    """Waits until the condition holds; a TimeoutError says that it never did."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        answer = is_so()
        if answer if isinstance(answer, bool) else await within(answer):
            return
        # Looked at here as well: `wait_for`, which redis-py uses, may swallow a cancellation.
        if loop.time() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.002)


class Rig:
    """A call runner whose Redis is the test: it feeds events and answers commits."""

    def __init__(self, agent: type[Agent], executor: Executor, begin: Claim | None = None) -> None:
        self.progressed = 0
        self._last_sequence = 0 if begin is None else begin.cursor
        self.runner = CallRunner(
            "c1",
            begin or claim(),
            Surroundings(agent, executor, Gate(), Agent),
            on_progress=self._progressed,
        )
        self.task = asyncio.create_task(self.runner.run())
        self._now = 0.0

    def _progressed(self) -> None:
        self.progressed += 1

    def feed(self, *events: Event) -> None:
        self.feed_raw(*[encode_event(event, at_ms=0) for event in events])

    def feed_raw(self, *data: bytes) -> None:
        first = self._last_sequence + 1
        self.runner.feed([Entry(number, each) for number, each in enumerate(data, first)])
        self._last_sequence += len(data)

    async def handled(self) -> None:
        """Every event that was fed was begun, and what could go on without us has gone on."""
        await eventually(lambda: self.runner.backlog == 0)
        for _ in range(10):
            await asyncio.sleep(0)

    async def handle(self, *events: Event) -> list[Command]:
        """The commands that these events led to."""
        self.feed(*events)
        await self.handled()
        return self.commit()[1]

    def commit(self) -> tuple[Commit | None, list[Command]]:
        """The next step, applied at once."""
        self._now += 1.0  # so that a cursor alone is worth a commit
        step = self.runner.next_commit(now=self._now)
        if step is None:
            return None, []
        assert self.runner.answered(CommitAnswer.COMMITTED)
        return step, [decode_command(data) for data in step.commands]

    async def ended(self) -> None:
        await within(self.task)


class FakeRuntime:
    """Keeps what a call asks for."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.executor = ThreadPoolExecutor(1)
        self.lag_ms = 7

    def emit(self, command: Command) -> None:
        self.commands.append(command)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(coroutine)


def call_on(
    play_format: AudioFormat | None = None, *, heard: AudioFormat | None = None
) -> tuple[Call, FakeRuntime]:
    heard = heard or AudioFormat.pcmu()
    runtime = FakeRuntime()
    started = CallStarted("twilio", heard, "CA1", "MZ1", play_format, {"tracks": ["inbound"]})
    return Call("c1", started, runtime, None), runtime


# A call in Redis, from the edge's side.


async def announce(
    link: Link, call_id: str, *, first: bytes | None = None, lane: Lane = LANE
) -> CallKeys:
    keys = lane.keys(call_id)
    data = encode_event(STARTED, at_ms=0) if first is None else first
    (reply,) = await link.execute([bus.announce(keys, "edge-1", data)])
    assert reply == 1
    return keys


async def append(link: Link, keys: CallKeys, *events: Event, first: int = 2) -> None:
    requests = [
        bus.append_event(keys, number, encode_event(event, at_ms=0))
        for number, event in enumerate(events, first)
    ]
    for reply in await link.execute(requests):
        assert not isinstance(reply, ReplyError), reply


async def commands_in(redis: Redis, keys: CallKeys) -> list[Command]:
    entries: Any = await redis.xrange(keys.commands)
    return [decode_command(fields[b"e"]) for _, fields in entries]
