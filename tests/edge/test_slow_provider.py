"""A provider that stops reading its socket, for a while or for ever; through a real socket, with
the buffers that lie on the way."""

from __future__ import annotations

import asyncio
import socket
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from common.commands import PlayAudio, SetMark
from common.events import CallEnded, EndReason, MarkOutcome, MarkReached
from tests.edge.calls import Caller, Closed, OwnedCall, RunningEdge, counted
from tests.waiting import Starvation, until

STALL_S = 5.0
SECOND = PlayAudio(b"\x55" * 8000)


@pytest.fixture
async def narrow() -> AsyncIterator[ClientSession]:
    """A client whose kernel takes little that it does not read."""

    def open_socket(address: Any) -> socket.socket:
        opened = socket.socket(address[0], address[1], address[2])
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.setblocking(False)
        return opened

    async with ClientSession(connector=TCPConnector(socket_factory=open_socket)) as client:
        yield client


async def calls(edge: RunningEdge, client: ClientSession) -> tuple[Caller, OwnedCall]:
    caller = Caller(await client.ws_connect(edge.url + "/media/twilio"))
    await caller.start()
    return caller, await edge.worker.take()


def transport_of(caller: Caller) -> asyncio.Transport:
    connection = caller.socket._response.connection
    assert connection is not None
    assert isinstance(connection.transport, asyncio.Transport)
    return connection.transport


class Listener:
    """Reads all the time and gives marks back, as a provider does."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.heard_ms = 0.0
        self.marks: list[str] = []
        self.gap_longest_s = 0.0
        self._last = time.monotonic()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            frame = await self.caller.hear(timeout=60.0)
            now = time.monotonic()
            self.gap_longest_s, self._last = max(self.gap_longest_s, now - self._last), now
            if frame["event"] == "media":
                self.heard_ms += len(b64decode(frame["media"]["payload"])) / 8
            elif frame["event"] == "mark":
                self.marks.append(frame["mark"]["name"])
                await self.caller.give_back(frame["mark"]["name"])

    async def end(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


async def marks_reached(call: OwnedCall, count: int) -> list[MarkReached]:
    """Once so many are stored: an echo that was sent is still on its way."""
    reached: list[MarkReached] = []

    async def are_stored() -> bool:
        reached[:] = [event for event in await call.stored() if isinstance(event, MarkReached)]
        return len(reached) >= count

    await until(are_stored)
    return reached


async def speak_for(seconds: int, *calls: OwnedCall) -> None:
    """A mark behind every second."""
    for call in calls:
        for second in range(seconds):
            await call.ask(SECOND, SetMark(str(second)))


async def test_provider_that_stalls_for_a_while_is_spared_what_it_should_have_had_long_ago(
    edge: RunningEdge, narrow: ClientSession
) -> None:
    dropped_s = counted("trunkline_edge_audio_dropped_seconds_total", provider="twilio")
    starvation = Starvation()
    slow, slow_call = await calls(edge, narrow)
    other, other_call = await edge.call()
    await speak_for(9, slow_call, other_call)
    listeners = Listener(slow), Listener(other)
    await until(lambda: listeners[0].heard_ms > 500)
    transport_of(slow).pause_reading()
    stalled_at = time.monotonic()
    await until(lambda: time.monotonic() - stalled_at >= STALL_S)
    stalled_s = time.monotonic() - stalled_at
    transport_of(slow).resume_reading()
    names = [str(second) for second in range(9)]
    await until(lambda: [each.marks for each in listeners] == [names, names], timeout=60)

    slow_one, other_one = listeners
    dropped_s = counted("trunkline_edge_audio_dropped_seconds_total", provider="twilio") - dropped_s
    # Two seconds may be late, and a little was in buffers: the rest of the stall is left out.
    assert 1 < dropped_s < stalled_s - 2.0 + 0.5
    assert slow_one.heard_ms == pytest.approx(9000 - 1000 * dropped_s, abs=1)
    assert other_one.heard_ms == 9000
    assert other_one.gap_longest_s < 0.2 + starvation.seconds
    reached = await marks_reached(slow_call, len(names))
    assert [(mark.name, mark.outcome) for mark in reached] == [
        (name, MarkOutcome.PLAYED) for name in names
    ]
    assert sum(mark.heard_ms for mark in reached) == pytest.approx(9000 - 1000 * dropped_s, abs=1)
    for listener in listeners:
        await listener.end()
    await slow.socket.close()


async def test_provider_that_stalls_for_ever_is_closed_1008(edge: RunningEdge) -> None:
    """Its kernel takes more than it is sent in that time: only its silence betrays it."""
    caller, call = await edge.call()
    await speak_for(20, call)
    listener = Listener(caller)
    await until(lambda: listener.heard_ms > 1500)
    transport_of(caller).pause_reading()
    starvation, stalled_at = Starvation(), time.monotonic()
    await until(lambda: not edge.edge._sessions, timeout=60)
    assert 5.0 < time.monotonic() - stalled_at < 10.0 + starvation.seconds
    ended = (await call.stored())[-1]
    assert ended == CallEnded(EndReason.PROTOCOL_VIOLATED, "slow consumer")
    await listener.end()
    transport_of(caller).resume_reading()
    assert await caller.closed() == Closed(1008, "slow consumer")


async def test_peer_that_never_answers_pings_is_not_closed_for_it(edge: RunningEdge) -> None:
    """It reads, or so the kernel says; whoever reads without answering harms nobody."""
    caller, call = await edge.call()
    pings = 0

    async def read() -> None:
        nonlocal pings
        reader = caller.socket._reader
        while True:
            message = await reader.read()
            pings += message.type.name == "PING"

    reading = asyncio.create_task(read())
    await speak_for(8, call)
    await until(lambda: pings == 1)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 6.0)
    assert edge.edge._sessions
    assert not isinstance((await call.stored())[-1], CallEnded)
    reading.cancel()
