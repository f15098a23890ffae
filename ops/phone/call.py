"""One call on a real socket: the shell around `Line`.

Rule 1: one task writes and one reads, for the whole call; nothing is created per chunk.
Rule 2: this file decides nothing; it asks the line what to send, and when to ask again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType

from common.errors import UsageError
from ops.phone.dialect import WsMessage
from ops.phone.line import Ending, Line

__all__ = ["Call"]

#: Seconds until an edge that does not answer counts as unreachable.
DIAL_TIMEOUT_S = 10.0
#: Seconds the far end may take to answer our close.
CLOSE_TIMEOUT_S = 10.0
#: Seconds beyond its plan after which a call is given up, because its socket takes no more.
STUCK_S = 10.0
#: uvloop's timers count whole milliseconds and round; this keeps them from firing early.
_ROUNDING_S = 0.0005

_NORMAL = 1000
_NO_CODE = 1005
_LOST = 1006

_MEANING_OF_STATUS = {
    400: "it finds the request malformed",
    401: "it wants authentication",
    403: "it refuses this caller",
    404: "it serves no provider at this path",
    429: "it takes no more calls",
    502: "a proxy there finds nobody behind it",
    503: "it takes no new calls now",
    504: "a proxy there finds nobody behind it",
}
_MEANING_OF_CODE = {
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    _NO_CODE: "no code given",
    1007: "invalid data",
    1008: "policy violated",
    1009: "message too big",
    1011: "internal error",
    1012: "restarting",
    1013: "try again later",
}


class Call:
    def __init__(self, line: Line, *, url: str, session: aiohttp.ClientSession) -> None:
        self._line = line
        self._url = url
        self._session = session
        self._wake = asyncio.Event()
        self._wakes_at = 0.0
        self._dialing: asyncio.Timeout | None = None
        self._is_far_end_gone = False

    async def run(self) -> None:
        """Raises UsageError when nobody takes the call."""
        socket = await self._dial()
        if socket is None:
            self._line.record.ending = Ending.NOT_PLACED
            return
        try:
            async with asyncio.timeout(self._line.longest_s + STUCK_S), asyncio.TaskGroup() as both:
                both.create_task(self._read(socket))
                await self._write(socket)
                await socket.close(code=_NORMAL)
        except TimeoutError:
            self._line.fail(Ending.LOST, "the edge stopped reading", close_code=_LOST)
            await _abandon(socket)
            return
        finally:
            self._line.record.ended_at = time.monotonic()
        if not self._is_far_end_gone:
            self._judge_answer(socket.close_code or _NO_CODE)

    def hang_up(self) -> None:
        self._line.hang_up(Ending.INTERRUPTED)
        self._wake.set()
        if self._dialing is not None:
            self._dialing.reschedule(0.0)

    async def _dial(self) -> ClientWebSocketResponse | None:
        """None when we hung up before anybody answered."""
        if self._line.is_hanging_up:
            return None
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S) as self._dialing:
                return await self._session.ws_connect(
                    self._url, timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S)
                )
        except TimeoutError:
            if self._line.is_hanging_up:
                return None
            raise UsageError(
                f"nothing answers at {self._url} within {DIAL_TIMEOUT_S:g} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UsageError(_why_not_dialed(self._url, error)) from error
        finally:
            self._dialing = None

    async def _write(self, socket: ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        try:
            for message in self._line.open(now=time.monotonic()):
                await _send(socket, message)
            while not self._is_far_end_gone:
                self._wake.clear()
                for message in self._line.messages_to_send(now=time.monotonic()):
                    await _send(socket, message)
                if self._line.is_over:
                    return
                self._wakes_at = self._line.next_time()
                delay_s = max(0.0, self._wakes_at - time.monotonic()) + _ROUNDING_S
                timer = loop.call_later(delay_s, self._wake.set)
                await self._wake.wait()
                timer.cancel()
        except ConnectionError:
            pass  # the reader knows how the far end went

    async def _read(self, socket: ClientWebSocketResponse) -> None:
        while True:
            message = await socket.receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._line.receive(message.data, now=time.monotonic())
                if self._line.next_time() < self._wakes_at:
                    self._wake.set()
                continue
            if message.type is WSMsgType.CLOSE:
                self._judge_close(message.data or _NO_CODE, message.extra or "")
            elif message.type is WSMsgType.ERROR:
                self._leave(Ending.LOST, f"the edge broke the WebSocket protocol: {message.data}")
            elif not self._line.is_over:
                # aiohttp reports a lost connection like our own close, at times even as code 1000.
                self._leave(Ending.LOST, "the edge dropped the connection without a close frame")
            return

    def _judge_close(self, code: int, reason: str) -> None:
        """The far end closed first: with 1000 the agent hung up, anything else is a failure."""
        if code == _NORMAL:
            self._line.hang_up(Ending.HUNG_UP)
            self._line.record.close_code = code
            self._is_far_end_gone = True
            self._wake.set()
        else:
            self._leave(Ending.CLOSED, f"the edge closed with {_code(code, reason)}", code)

    def _judge_answer(self, code: int) -> None:
        """The far end answered our close."""
        self._line.record.close_code = code
        if code == _LOST:
            self._leave(Ending.LOST, "the edge did not answer our close", code)
        elif code != _NORMAL:
            self._leave(Ending.CLOSED, f"the edge answered our close with {_code(code, '')}", code)

    def _leave(self, ending: Ending, text: str, code: int = _LOST) -> None:
        self._line.fail(ending, text, close_code=code)
        self._is_far_end_gone = True
        self._wake.set()


async def _send(socket: ClientWebSocketResponse, message: WsMessage) -> None:
    if isinstance(message, str):
        await socket.send_str(message)
    else:
        await socket.send_bytes(message)


async def _abandon(socket: ClientWebSocketResponse) -> None:
    """Close without waiting for a far end that reads nothing any more, not even our close."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await socket.close(code=_NORMAL)


def _code(code: int, reason: str) -> str:
    meaning = _MEANING_OF_CODE.get(code, "")
    return " ".join(filter(None, [str(code), meaning and f"({meaning})", reason and repr(reason)]))


def _why_not_dialed(url: str, error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"nothing answers at {url}: the host name {error.host!r} is not known"
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionRefusedError):
            return f"nothing answers at {url}: connection refused; is 'trunkline up' running?"
        case aiohttp.ClientConnectorError():
            return f"nothing answers at {url}: {error.os_error.strerror or error.os_error}"
        case aiohttp.WSServerHandshakeError() if error.status != 101:
            meaning = _MEANING_OF_STATUS.get(error.status, "not a WebSocket")
            return f"{url} answers HTTP {error.status}: {meaning}"
        case _:
            text = " ".join(str(error).split()) or type(error).__name__
            return f"{url} does not speak WebSocket: {text}"
