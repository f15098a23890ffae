"""What comes over the wire of somebody who is no provider; the calls beside it go on unharmed."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import aiohttp
import pytest

from tests.system.processes import System, wait_until

START = json.dumps(
    {
        "event": "start",
        "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1",
            "callSid": "CA1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }
)

PAYLOAD = "fw=="
MEDIA = json.dumps({"event": "media", "streamSid": "MZ1", "media": {"payload": PAYLOAD}})

GARBAGE = [
    "",
    "no json",
    "[]",
    "null",
    "{}",
    '{"event": "unheard of"}',
    '{"event": "media"}',
    '{"event": "media", "streamSid": "MZ1", "media": {"payload": "%%%"}}',
    '{"event": "media", "streamSid": "MZ1", "media": {"payload": ""}}',
    '{"event": "media", "streamSid": "another", "media": {"payload": "//8="}}',
    '{"event": "mark", "streamSid": "MZ1", "mark": {"name": "never set"}}',
    '{"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "12"}}',
    "[" * 60_000,
    '{"event": "\\ud800"}',
]


@pytest.fixture
async def caller(echo: System) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"ws://{echo.host}") as session:
        yield session


@pytest.fixture
def beside(echo: System) -> Iterator[None]:
    """A good call during the bad one."""
    started = echo.edge.metric("trunkline_edge_calls_started_total")
    phone = echo.phone("twilio", "--seconds", "1", "--expect", "echo")
    wait_until(lambda: echo.edge.metric("trunkline_edge_calls_started_total") > started)
    yield
    assert phone.call().behaved
    echo.wait_until_no_call_is_left()


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """What the edge closed with, once it has."""
    async with asyncio.timeout(30):
        while True:
            message = await socket.receive()
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return socket.close_code


@pytest.mark.usefixtures("beside")
async def test_garbage_is_ignored_and_counted_and_its_call_lives(
    echo: System, caller: aiohttp.ClientSession
) -> None:
    ignored = echo.edge.metric("trunkline_edge_ignored_total")
    await asyncio.gather(*(talk_garbage(caller, text) for text in GARBAGE))
    assert echo.edge.metric("trunkline_edge_ignored_total") >= ignored + len(GARBAGE)


async def talk_garbage(caller: aiohttp.ClientSession, text: str) -> None:
    """A call that is fine but for one message in the middle."""
    async with caller.ws_connect("/media/twilio") as socket, asyncio.timeout(30):
        await socket.send_str(START)
        await socket.send_str(text)
        await socket.send_str(MEDIA)
        assert json.loads((await socket.receive()).data)["media"] == {"payload": PAYLOAD}, text
        await socket.send_str(json.dumps({"event": "stop", "streamSid": "MZ1", "stop": {}}))
        assert await close_code(socket) == 1000


@pytest.mark.usefixtures("beside")
async def test_a_stream_of_garbage_is_closed(caller: aiohttp.ClientSession) -> None:
    async with caller.ws_connect("/media/twilio") as socket:
        await socket.send_str(START)
        for _ in range(20):
            await socket.send_str("no json")
        assert await close_code(socket) == 1008


@pytest.mark.usefixtures("beside")
async def test_what_cannot_be_a_provider_is_closed(caller: aiohttp.ClientSession) -> None:
    for first in (START, "no json"):
        binary, long = [await caller.ws_connect("/media/twilio") for _ in range(2)]
        for each in (binary, long):
            await each.send_str(first)
        await binary.send_bytes(b"\x00\x01")
        await long.send_str("x" * 1_000_000)
        assert await close_code(binary) == 1003
        assert await close_code(long) == 1009


async def test_a_provider_that_nobody_knows_is_not_found(caller: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await caller.ws_connect("/media/nobody")
    assert refused.value.status == 404


def test_a_socket_that_breaks_in_mid_call_ends_it(echo: System) -> None:
    phone = echo.phone("twilio", "--seconds", "10")
    echo.wait_until_live(1)
    lost = {"provider": "twilio", "reason": "connection_lost"}
    before = echo.edge.metric("trunkline_edge_calls_ended_total", **lost)
    phone.end()
    wait_until(lambda: echo.edge.metric("trunkline_edge_calls_ended_total", **lost) == before + 1)
    echo.wait_until_live(0)
    echo.wait_until_no_call_is_left()


def test_bytes_that_are_no_http_do_no_harm(echo: System) -> None:
    host, _, port = echo.host.partition(":")
    for rubbish in (b"\x16\x03\x01\x02\x00", b"GET /" + b"x" * 20_000, b"\r\n\r\n", b"\0" * 4096):
        with closing(socket.create_connection((host, int(port)), timeout=30)) as raw:
            raw.sendall(rubbish)
    assert echo.edge.status("/healthz") == 200
    assert "Traceback" not in echo.edge.log
