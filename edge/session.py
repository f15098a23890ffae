"""One socket: hands what it hears to the stream, publishes the events, writes what is due.

Rule 1: the reader never waits for Redis; it appends to the uplink and reads on.
Rule 2: this is the only place of the edge that catches broadly. A fault of ours ends this call
        with 1011, and no other.
Rule 3: one task reads, one writes, `run` closes; neither outlives `run`.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Coroutine
from typing import NamedTuple

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

from common.commands import ClearPlayback, Command
from common.events import AudioReceived, CallEnded, CallStarted, EndReason, Event, MarkReached
from common.keys import CallKeys
from common.ticker import Wakeup
from edge import metrics
from edge.downlink import Subscriber
from edge.entrances import Entrance
from edge.lanes import EdgeLane, EdgeLanes
from edge.outlet import Outlet
from edge.seldom import Seldom
from edge.settings import EdgeSettings
from edge.stream import Stream
from edge.uplink import CallEvents

__all__ = ["Session"]

_log = logging.getLogger(__name__)
_seldom = Seldom(_log)

#: A provider that takes nothing for five seconds and then goes on is put up with.
_STUCK_TIMEOUT_S = 5.5
#: How far behind what it should have been sent such a provider may stay.
_OVERDUE_S = 2.0


#: What is wrong with a frame that is none, by the code that aiohttp closes with; its own words
#: repeat what the peer sent.
_BROKEN_FRAMES: dict[int, str] = {
    WSCloseCode.MESSAGE_TOO_BIG: "message too big",
    WSCloseCode.INVALID_TEXT: "text is no UTF-8",
}


class _Attachment(NamedTuple):
    """A started call's place on its lane: where its events go and its commands come from."""

    lane: EdgeLane
    keys: CallKeys
    events: CallEvents

    def is_cut_off(self, for_s: float) -> bool:
        """Whether Redis, or one that has come in its place, has for so long not taken events."""
        return self.lane.writer.is_cut_off(for_s) or self.events.is_cut_off(for_s)


class Session:
    def __init__(
        self,
        socket: web.WebSocketResponse,
        entrance: Entrance,
        lanes: EdgeLanes,
        settings: EdgeSettings,
    ) -> None:
        self._socket = socket
        self._entrance = entrance
        self._metrics = metrics.for_provider(entrance.name)
        self._lanes = lanes
        self._settings = settings
        self._stream = Stream(entrance.open_adapter(), lead_ms=settings.lead_ms)
        self._call: _Attachment | None = None
        self._wakeup = Wakeup()
        self._outlet = Outlet(socket)
        self._writer: asyncio.Task[None] | None = None
        #: While there is no call: when the socket was opened.
        self._last_message = time.monotonic()
        self.call_id = uuid.uuid4().hex

    async def run(self) -> None:
        """Returns when the socket is closed and the call's end has been published."""
        reader = asyncio.create_task(self._guard(self._read()), name=f"read {self.call_id}")
        writer = asyncio.create_task(self._guard(self._write()), name=f"write {self.call_id}")
        self._writer = writer
        halves = (reader, writer)
        try:
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for half in halves:
                half.cancel()
            await asyncio.wait(halves)
            self._publish(self._stream.socket_closed(self._socket.close_code, now=time.monotonic()))
            self._detach()
        if self._stream.close is not None:
            await self._outlet.close(*self._stream.close)

    def end(self, reason: EndReason, code: int, detail: str = "") -> None:
        """Give the call up; the writer closes the socket with `code`."""
        self._publish(self._stream.end(reason, code, detail, now=time.monotonic()))
        self._wakeup.set()

    def check(self) -> None:
        """End what does not come to life, falls silent, or cannot be stored. Called often."""
        settings, call = self._settings, self._call
        now = time.monotonic()
        silent_s = now - self._last_message
        if call is None:
            patience_s = self._entrance.start_timeout_s or settings.start_timeout_s
            if silent_s > patience_s and self._stream.close is None:
                metrics.CALLS_REFUSED.labels("no_start").inc()
                _seldom.info("call refused", "no_start")
                self.end(EndReason.PROTOCOL_VIOLATED, WSCloseCode.POLICY_VIOLATION, "no start")
        elif silent_s > settings.idle_timeout_s:
            self.end(EndReason.CONNECTION_LOST, WSCloseCode.POLICY_VIOLATION, "no message")
        elif call.is_cut_off(settings.outage_timeout_s):
            self.end(EndReason.EDGE_FAILED, WSCloseCode.INTERNAL_ERROR, "no storage")
        if self._outlet.stuck_s(now=now) > _STUCK_TIMEOUT_S and self._writer is not None:
            self.end(EndReason.PROTOCOL_VIOLATED, WSCloseCode.POLICY_VIOLATION, "slow consumer")
            self._writer.cancel()

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type in (WSMsgType.PING, WSMsgType.PONG):
                await self._answer(message)
                continue
            now = time.monotonic()
            if self._call is not None:
                self._last_message = now
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                events = self._stream.receive(message.data, now=now)
                self._publish(events)
                if len(events) != 1 or not isinstance(events[0], AudioReceived):
                    self._settle()
            elif message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
                # Of other errors the peer is not to blame: the connection is lost, `run` says so.
                self._ignored("websocket_error")
                self._outlet.hold_open()
                detail = _BROKEN_FRAMES.get(message.data.code, "broken frame")
                self.end(EndReason.PROTOCOL_VIOLATED, message.data.code, detail)

    async def _answer(self, control: WSMessage) -> None:
        if control.type is WSMsgType.PING:
            await self._socket.pong(control.data)
        else:
            self._outlet.pong_arrived()

    def _settle(self) -> None:
        """What is not just a frame of audio may leave something to count, send or wait for."""
        for reason, count in self._stream.ignored.items():
            self._ignored(reason, count)
        self._stream.ignored.clear()
        self._wakeup.set()

    def _ignored(self, reason: str, count: int = 1) -> None:
        self._metrics.ignored(reason, count)
        _seldom.info("messages ignored", reason, times=count, call=self.call_id)

    async def _write(self) -> None:
        """Send what is due, sleep until more is; returns when the socket is to be closed."""
        stream = self._stream
        while True:
            self._publish(stream.tick(now=time.monotonic()))
            if messages := stream.messages_to_send():
                stuck_s = await self._outlet.send(messages, self._metrics)
                if stuck_s > _OVERDUE_S:
                    self._catch_up()
            if stream.close is not None:
                return
            await self._wakeup.wait(stream.next_time())

    def _catch_up(self) -> None:
        """The provider takes again what it is sent, after a while."""
        dropped_ms = self._stream.skip_overdue(before=time.monotonic() - _OVERDUE_S)
        self._metrics.audio_dropped_s.inc(dropped_ms / 1000)
        _log.warning(
            "provider was slow", extra={"call": self.call_id, "dropped_ms": round(dropped_ms)}
        )

    async def _guard(self, half: Coroutine[None, None, None]) -> None:
        """One half of the session, under rule 2."""
        try:
            await half
        except ConnectionError:
            pass  # the socket is gone; `run` publishes that
        except Exception:  # noqa: BLE001 - rule 2
            self._failed()

    def _failed(self) -> None:
        """In an exception's handler: a fault of ours ends this call."""
        _log.exception("session failed", extra={"call": self.call_id})
        self.end(EndReason.EDGE_FAILED, WSCloseCode.INTERNAL_ERROR)

    def _publish(self, events: list[Event]) -> None:
        if not events:
            return
        at_ms = time.time_ns() // 1_000_000
        for event in events:
            match event:
                case AudioReceived():
                    self._metrics.audio_in_bytes.inc(len(event.payload))
                case CallStarted():
                    self._attach(event, at_ms)
                    continue
                case MarkReached():
                    self._metrics.mark_ended(event.outcome)
                case CallEnded():
                    self._ended(event)
            if self._call is not None:
                self._call.events.append(event, at_ms=at_ms)

    def _attach(self, started: CallStarted, at_ms: int) -> None:
        lane, keys = self._lanes.place(self.call_id)
        events = lane.open_call(keys, on_lost=self._lost, on_not_taken=self._not_taken)
        self._call = _Attachment(lane, keys, events)
        events.announce(started, at_ms=at_ms)
        lane.downlink.subscribe(
            keys, Subscriber(self._deliver, events.commands_read, self._unreadable)
        )
        # At the entrance for all, only now it is known who called.
        self._metrics = metrics.for_provider(started.provider)
        self._metrics.calls_started.inc()
        self._metrics.calls.inc()
        _log.info(
            "call started",
            extra={
                "call": self.call_id,
                "provider": started.provider,
                "provider_call": started.provider_call_id,
                "format": str(started.format),
            },
        )

    def _ended(self, ended: CallEnded) -> None:
        self._metrics.call_ended(ended.reason)
        _log.info(
            "call ended",
            extra={"call": self.call_id, "reason": ended.reason.value, "detail": ended.detail},
        )

    def _detach(self) -> None:
        if self._call is not None:
            self._call.lane.downlink.unsubscribe(self._call.keys)

    def _deliver(self, commands: list[Command]) -> None:
        """Called by the reader of the whole lane, whom a fault in one call must not reach."""
        try:
            self._obey(commands, now=time.monotonic())
        except Exception:  # noqa: BLE001 - rule 2
            self._failed()
        self._wakeup.set()

    def _obey(self, commands: list[Command], *, now: float) -> None:
        for command in commands:
            if isinstance(command, ClearPlayback):
                self._outlet.clear_arrived()
            self._publish(self._stream.command(command, now=now))

    def _not_taken(self) -> None:
        """The time to take the call is over; nobody has, and its keys are gone."""
        self.end(EndReason.NOT_TAKEN, WSCloseCode.TRY_AGAIN_LATER, "no worker")

    def _unreadable(self) -> None:
        """Redis refuses to read the call's commands."""
        self.end(EndReason.EDGE_FAILED, WSCloseCode.INTERNAL_ERROR, "commands unreadable")

    def _lost(self) -> None:
        """Its worker has ended the call, or Redis refuses it or loses it again and again."""
        self.end(EndReason.EDGE_FAILED, WSCloseCode.INTERNAL_ERROR, "call lost")
