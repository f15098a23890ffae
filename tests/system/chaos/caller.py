"""One caller at one provider: says numbered frames in real time, hears, echoes marks, writes down.

Rule 1: frame n leaves at start + n * 20 ms; a late wake-up is made up for at once.
Rule 2: everything is written into the ledger when it happens, and judged by others, later.
Rule 3: a caller that hangs up first lets the agent finish: it waits until all that its frames ask
        for has been heard and every mark has gone back, or for so long as it has patience.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType

from ops.phone.dialect import (
    Answer,
    AudioToPlay,
    Clear,
    Dialect,
    Fault,
    HangUp,
    MarkToEcho,
    WsMessage,
)
from tests.system.chaos import frames, score
from tests.system.chaos.ear import Ear, number_of
from tests.system.chaos.frames import Said
from tests.system.chaos.ledger import Kind, Ledger

__all__ = ["Caller", "Plan"]

_FRAME_S = 0.020
#: uvloop's timers count whole milliseconds and round; this keeps them from firing early.
_ROUNDING_S = 0.0005
_DIAL_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 10.0
_CONNECTION_LOST = 1006


class Plan(NamedTuple):
    """`frames`: how many to say; 0: until told to hang up. `rules` are those of the agent, so that
    the caller knows how much it has still to hear, and waits for it as long as `patience_s`."""

    number: int
    dialect: Dialect
    url: str
    frames: int
    rules: score.Rules
    patience_s: float


class Caller:
    def __init__(self, plan: Plan, ledger: Ledger, hang_up: asyncio.Event) -> None:
        self._plan = plan
        self._ledger = ledger
        self._hang_up = hang_up
        self._manners = plan.dialect.open_call()
        self._ear = Ear(plan.number, plan.dialect, plan.rules, ledger)
        self._wake = asyncio.Event()
        self._talks_since: float | None = None
        self._said = 0
        self._is_over = False
        self._is_hung_up_on = False  # by the agent
        self._to_press = ""
        self._socket: ClientWebSocketResponse | None = None
        self._reads = asyncio.Event()
        self._reads.set()

    async def run(self, session: aiohttp.ClientSession) -> int:
        """The close code of a call that did not come to its own end; 0 when it did, or the HTTP
        status, negative, when there was no call (-1: nobody answered)."""
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                self._socket = await session.ws_connect(
                    self._plan.url, timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S)
                )
        except aiohttp.WSServerHandshakeError as error:
            self._note(Kind.REFUSED, detail=error.status)
            return -error.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._note(Kind.REFUSED)
            return -1
        self._note(Kind.OPENED)
        reader = asyncio.create_task(self._read(self._socket))
        try:
            await self._write(self._socket)
        finally:
            with contextlib.suppress(ConnectionError):
                await self._socket.close(code=1000)
            await reader
        code = self._socket.close_code or _CONNECTION_LOST
        self._note(Kind.CLOSED, detail=code)
        return 0 if code == 1000 else code

    def stop_reading(self) -> None:
        """The provider's reader stands still, as that of a peer that is stuck."""
        self._reads.clear()
        self._transport().pause_reading()

    def go_on_reading(self) -> None:
        self._reads.set()
        transport = self._transport()
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def press(self, digit: str) -> None:
        self._to_press += digit
        self._wake.set()

    async def _write(self, socket: ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._plan.dialect.silent_s)
            for message in self._manners.open():
                await _send(socket, message)
            if not self._plan.dialect.rings:
                self._answered()
            finish_at = 0.0
            while not self._is_over:
                self._wake.clear()
                for message in self._due(time.monotonic()):
                    await _send(socket, message)
                if self._has_said_all():
                    finish_at = finish_at or time.monotonic() + self._plan.patience_s
                    if self._is_finished() or time.monotonic() >= finish_at:
                        await self._say_goodbye(socket)
                        return
                next_at = min(self._next_time(), finish_at or float("inf"))
                delay_s = max(0.0, next_at - time.monotonic()) + _ROUNDING_S
                timer = loop.call_later(min(delay_s, 0.5), self._wake.set)
                await self._wake.wait()
                timer.cancel()
        except ConnectionError:
            pass  # the reader knows how the far end went

    async def _say_goodbye(self, socket: ClientWebSocketResponse) -> None:
        self._note(Kind.STOPPED, self._said)
        for message in self._manners.stop():
            await _send(socket, message)

    def _due(self, now: float) -> Iterator[WsMessage]:
        while not self._has_said_all() and self._next_frame_time() <= now:
            self._said += 1
            payload = frames.pack_said(Said(self._plan.number, self._said), self._frame_bytes())
            self._note(Kind.SAID, self._said)
            yield from self._manners.media(payload)
        digits, self._to_press = self._to_press, ""
        for digit in digits:
            yield from self._manners.dtmf(digit)
        for mark in self._ear.ended_marks(now):
            self._note(Kind.ECHOED, number_of(mark.name))
            yield from self._manners.mark_echo(mark.name, is_cleared=mark.is_cleared)

    def _has_said_all(self) -> bool:
        if self._is_hung_up_on or self._hang_up.is_set():
            return True
        return bool(self._plan.frames) and self._said >= self._plan.frames

    def _is_finished(self) -> bool:
        return self._is_hung_up_on or self._ear.has_heard(self._said)

    def _next_frame_time(self) -> float:
        if self._talks_since is None or self._has_said_all():
            return float("inf")
        return self._talks_since + self._said * _FRAME_S

    def _next_time(self) -> float:
        return min(self._next_frame_time(), self._ear.next_mark_time())

    def _frame_bytes(self) -> int:
        audio_format = self._plan.dialect.format
        return audio_format.bytes_for(audio_format.samples_for_ms(_FRAME_S * 1000))

    async def _read(self, socket: ClientWebSocketResponse) -> None:
        while True:
            await self._reads.wait()
            message = await socket.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            self._receive(message.data, time.monotonic())
        self._is_over = True
        self._wake.set()

    def _receive(self, message: WsMessage, now: float) -> None:
        received = self._manners.receive(message)
        match received:
            case AudioToPlay(payload):
                self._ear.hear(payload, now)
                if self._has_said_all():
                    self._wake.set()
                return
            case MarkToEcho(name):
                self._note(Kind.MARKED, number_of(name))
                self._ear.mark(name, now)
            case Clear():
                self._note(Kind.CLEARED)
                self._ear.clear(now)
            case Answer():
                self._answered()
            case HangUp():
                self._note(Kind.HUNG_UP)
                self._is_hung_up_on = True
            case Fault():
                self._note(Kind.FAULT)
        self._wake.set()

    def _answered(self) -> None:
        if self._talks_since is None:
            # Spread over the 20 ms, or all callers would say their frames at the same instant.
            spread_s = self._plan.number * 7 % 20 / 1000
            self._talks_since = time.monotonic() + spread_s

    def _note(self, kind: Kind, sequence: int = 0, *, detail: int = 0) -> None:
        self._ledger.write(kind, self._plan.number, sequence, detail=detail)

    def _transport(self) -> Any:
        """uvloop's, which is no subclass of asyncio's."""
        assert self._socket is not None
        connection = self._socket._conn
        assert connection is not None
        return connection.transport


async def _send(socket: ClientWebSocketResponse, message: WsMessage) -> None:
    if isinstance(message, str):
        await socket.send_str(message)
    else:
        await socket.send_bytes(message)
