"""The phone against a real far end, well-behaved and with every vice that it must catch."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from common.errors import UsageError
from ops.phone import line as line_module
from ops.phone import speech
from ops.phone.call import Call
from ops.phone.dialect import Dialect
from ops.phone.dialects import known_dialects
from ops.phone.line import CallRecord, Ending, Line, Script
from ops.phone.report import CallReport, report_on
from tests.ops.phone.dialect_for_tests import RINGING
from tests.ops.phone.echo_edge import Conversation

DIALECTS = known_dialects()
FRAMES = speech.tune(DIALECTS["twilio"].format, chunk_ms=20, seconds=0.3)

Handler = Callable[[web.WebSocketResponse], Awaitable[None]]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "QUIET_S", 0.5)
    monkeypatch.setattr(line_module, "LINGER_S", 1.5)
    monkeypatch.setattr(line_module, "ECHO_S", 1.5)


async def call(
    handler: Handler,
    *,
    dialect: Dialect = DIALECTS["twilio"],
    script: Script | None = None,
    over: asyncio.Event | None = None,
) -> CallRecord:
    """Place one call to a far end that runs `handler`, to its end; then set `over`."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await handler(socket)
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    line = Line(dialect, script or Script(FRAMES, expects_echo=True))
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        async with asyncio.timeout(60):
            await Call(line, url=str(server.make_url("/")), session=session).run()
        if over is not None:
            over.set()
    return line.record


async def converse(make: Callable[[web.WebSocketResponse], Conversation]) -> CallReport:
    async def handler(socket: web.WebSocketResponse) -> None:
        conversation = make(socket)
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            await conversation.receive(json.loads(message.data))

    return report_on([await call(handler)]).calls[0]


async def test_honest_echo_behaves() -> None:
    heard: list[Conversation] = []

    def make(socket: web.WebSocketResponse) -> Conversation:
        heard.append(Conversation(socket))
        return heard[0]

    report = await converse(make)
    assert report.faults == []
    assert report.ending == "completed"
    assert report.close_code == 1000
    assert report.frames_heard == len(FRAMES)
    assert report.sent_sha256 == report.heard_sha256
    assert report.marks == ["echo-10"]
    assert report.mark_ends == ["played"]
    events = [message["event"] for message in heard[0].heard]
    assert events[:2] == ["connected", "start"]
    assert events[-1] == "stop"
    assert [message["mark"]["name"] for message in heard[0].said("mark")] == ["echo-10"]


class _ExtraField(Conversation):
    async def play(self, payload: str) -> None:
        await self.send(event="media", media={"payload": payload}, sequenceNumber="1")


class _MissingField(Conversation):
    async def play(self, payload: str) -> None:
        if self.frames == 3:
            await self.send(event="media", media={})
        await super().play(payload)


class _WrongType(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number == 3:
            await self.send(event="mark", mark={"name": number})


class _WrongStream(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number == 3:
            await self.send(event="clear", streamSid="MZ" + "0" * 32)


class _BadBase64(Conversation):
    async def play(self, payload: str) -> None:
        await super().play("~" + payload[1:] if self.frames == 3 else payload)


class _UnknownEvent(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number == 3:
            await self.send(event="flush")


class _Binary(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number == 3:
            await self.socket.send_bytes(b"\xff" * 160)


class _Repeats(Conversation):
    async def play(self, payload: str) -> None:
        for _ in range(2 if self.frames == 3 else 1):
            await super().play(payload)


class _Drops(Conversation):
    async def play(self, payload: str) -> None:
        if self.frames != 3:
            await super().play(payload)


class _Swaps(Conversation):
    held = ""

    async def play(self, payload: str) -> None:
        if self.frames == 3:
            self.held = payload
            return
        await super().play(payload)
        if self.frames == 4:
            await super().play(self.held)


class _Damages(Conversation):
    async def play(self, payload: str) -> None:
        await super().play("AAAA" + payload[4:] if self.frames == 3 else payload)


class _Invents(Conversation):
    async def play(self, payload: str) -> None:
        if self.frames == 3:
            await super().play("AAAA" * 53 + "AA==")
        await super().play(payload)


class _IsSilent(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        pass


class _MarksTwice(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number == 3:
            for _ in range(2):
                await self.send(event="mark", mark={"name": "echo-3"})


class _Fails(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number == 3:
            await self.socket.close(code=1011, message=b"boom")


class _GoesWithoutACode(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number == 3:
            assert self.socket._writer
            await self.socket._writer.send_frame(b"", WSMsgType.CLOSE)


class _Vanishes(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await self.play(payload)
        if number == 3:
            transport = self.socket._req and self.socket._req.transport
            assert transport
            transport.close()


class _AnswersStopBadly(Conversation):
    async def receive(self, message: dict[str, Any]) -> None:
        await super().receive(message)
        if message["event"] == "stop":
            await self.socket.close(code=1012)


VICES = {
    _ExtraField: "unknown field `sequenceNumber`",
    _MissingField: "missing required field `payload`",
    _WrongType: "Expected `str`, got `int`",
    _WrongStream: "streamSid is 'MZ00",
    _BadBase64: "Invalid base64",
    _UnknownEvent: "Invalid value 'flush'",
    _Binary: "a binary message on a text protocol",
    _Repeats: "1 frame repeated",
    _Drops: "1 frame lost",
    _Swaps: "1 frame out of order",
    _Damages: "1 frame never sent but heard",
    _Invents: "1 frame never sent but heard",
    _IsSilent: "15 frames lost",
    _MarksTwice: "mark 'echo-3' came more than once",
    _Fails: "the edge closed with 1011 (internal error) 'boom'",
    _Vanishes: "dropped the connection without a close frame",
    _GoesWithoutACode: "the edge closed with 1005 (no code given)",
    _AnswersStopBadly: "1012 (restarting)",
}


def _name(value: object) -> str:
    return value.__name__ if isinstance(value, type) else ""


@pytest.mark.parametrize(("vice", "fault"), VICES.items(), ids=_name)
async def test_every_vice_is_caught(vice: type[Conversation], fault: str) -> None:
    report = await converse(vice)
    assert not report.behaved
    assert any(fault in each for each in report.faults), report.faults


async def test_close_code_is_reported() -> None:
    report = await converse(_Fails)
    assert report.close_code == 1011
    assert report.ending == "closed by the edge"


async def test_agent_that_hangs_up_behaves() -> None:
    async def handler(socket: web.WebSocketResponse) -> None:
        for _ in range(5):
            await socket.receive()
        await socket.close(code=1000)

    record = await call(handler, script=Script(FRAMES))
    assert record.ending is Ending.HUNG_UP
    assert record.close_code == 1000
    assert report_on([record]).total.behaved


async def test_close_that_nobody_answers_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.phone.call.CLOSE_TIMEOUT_S", 0.2)
    over = asyncio.Event()

    async def handler(socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if json.loads(message.data)["event"] == "stop":
                break
        await over.wait()

    record = await call(handler, script=Script(FRAMES[:2]), over=over)
    assert list(record.faults) == ["the edge did not answer our close"]


async def test_edge_that_stops_reading_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.phone.call.STUCK_S", 0.2)
    monkeypatch.setattr(line_module, "RING_S", 0.0)
    over = asyncio.Event()

    async def handler(socket: web.WebSocketResponse) -> None:
        assert socket._req
        transport = socket._req.transport
        assert transport
        transport.pause_reading()
        await over.wait()
        transport.abort()

    flood = Script([b"\xff" * 160_000] * 200)
    dialect = DIALECTS["twilio"]._replace(chunk_ms=1)
    record = await call(handler, dialect=dialect, script=flood, over=over)
    assert list(record.faults) == ["the edge stopped reading"]


async def test_binary_call_that_rings_first() -> None:
    chunks = [bytes([number]) * 640 for number in range(5)]
    heard: list[str | bytes] = []

    async def handler(socket: web.WebSocketResponse) -> None:
        heard.append((await socket.receive()).data)
        await socket.send_str('{"event":"answer"}')
        async for message in socket:
            heard.append(message.data)
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)

    script = Script(chunks, digits="7", expects_echo=True)
    record = await call(handler, dialect=RINGING, script=script)
    report = report_on([record]).calls[0]
    assert report.faults == []
    assert report.frames_heard == 5
    assert heard[0] == '{"event": "incoming_call"}'
    assert [part for part in heard if isinstance(part, bytes)] == chunks
    assert '{"event": "dtmf", "digit": "7"}' in heard


async def test_hanging_up_says_stop() -> None:
    events: list[str] = []
    calls: list[Call] = []

    async def handler(socket: web.WebSocketResponse) -> None:
        async for message in socket:
            events.append(json.loads(message.data)["event"])
            if events.count("media") == 3 and calls:
                calls.pop().hang_up()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await handler(socket)
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    line = Line(DIALECTS["twilio"], Script(FRAMES * 100))
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        calls.append(Call(line, url=str(server.make_url("/")), session=session))
        async with asyncio.timeout(30):
            await calls[0].run()
    assert events[-1] == "stop"
    assert line.record.ending is Ending.INTERRUPTED
    assert line.record.close_code == 1000


@contextlib.asynccontextmanager
async def calling_raw_server(answer: bytes | None) -> AsyncIterator[tuple[Line, Call]]:
    """A call to a server that says `answer` to whatever comes, or (None) nothing at all."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await gone.wait()
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line = Line(DIALECTS["twilio"], Script(FRAMES))
    try:
        async with aiohttp.ClientSession() as session:
            yield line, Call(line, url=f"ws://127.0.0.1:{port}/", session=session)
    finally:
        gone.set()
        server.close()
        await server.wait_closed()


async def test_hanging_up_while_it_dials() -> None:
    async with calling_raw_server(None) as (line, placed), asyncio.timeout(30):
        running = asyncio.create_task(placed.run())
        await asyncio.sleep(0)
        placed.hang_up()
        await running
    assert line.record.ending is Ending.NOT_PLACED


async def test_edge_that_accepts_but_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.phone.call.DIAL_TIMEOUT_S", 0.1)
    async with calling_raw_server(None) as (_, placed):
        with pytest.raises(UsageError, match="within"):
            await placed.run()


@pytest.mark.parametrize("answer", [b"", b"-ERR unknown command\r\n"])
async def test_far_end_that_speaks_something_else(answer: bytes) -> None:
    async with calling_raw_server(answer) as (_, placed):
        with pytest.raises(UsageError, match="does not speak WebSocket") as raised:
            await placed.run()
    assert "\n" not in str(raised.value)
