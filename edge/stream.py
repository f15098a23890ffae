"""One provider stream, whole, without I/O: adapter, state table, order, playout put together.

The session (`edge/session.py`) holds the socket and calls in; everything that can be said about a
stream without a socket or a clock is said here. The order for a caller is: hand in what happened
(`receive`, `command`, `tick`, `socket_closed`, `end`), publish the events returned, write
`messages_to_send()`, close the socket when `close` is set, come back at `next_time()`.

Rule 1: the events of a stream are CallStarted first, CallEnded last, each once, whatever happens.
Rule 2: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from common.commands import Answer, ClearPlayback, Command, HangUp
from common.errors import MessageError, UnsupportedError, ViolationError
from common.events import CallEnded, CallStarted, EndReason, Event, Metadata, ProviderFailed
from edge.adapter import (
    Adapter,
    HungUp,
    Ignored,
    KeyPressed,
    MarkEchoed,
    MediaReceived,
    Message,
    Receipt,
    Violated,
)
from edge.deadlines import sooner
from edge.inbound import Inbound
from edge.playout import Playout
from edge.stream_state import State, StreamState, Trigger
from edge.tolerance import Tolerance

__all__ = ["Close", "Stream"]

#: How long a provider that hung up may take for the particulars.
_LAST_WORDS_S = 1.0

_CLOSE_CODES = {EndReason.AGENT_FAILED: 1011}


class Close(NamedTuple):
    """How the socket is to be closed."""

    code: int
    reason: str = ""


class _Call(NamedTuple):
    """What there is once the call has started: one side towards us, one towards the caller."""

    inbound: Inbound
    playout: Playout


class _Ending(NamedTuple):
    """The call is over, but for what the provider may still say about it."""

    trigger: Trigger
    reason: EndReason
    detail: str
    code: int
    until: float


class Stream:
    def __init__(self, adapter: Adapter, *, lead_ms: int) -> None:
        self._adapter = adapter
        self._lead_ms = lead_ms
        self._state = StreamState()
        self._tolerance = Tolerance()
        self._call: _Call | None = None
        self._ending: _Ending | None = None
        self._refused: set[tuple[type[Command], str]] = set()
        self.close: Close | None = None
        #: Messages and commands without effect, by reason; the session moves them to the metrics.
        self.ignored: Counter[str] = Counter()

    def receive(self, message: Message, *, now: float) -> list[Event]:
        events: list[Event] = []
        for receipt in self._adapter.receive(message):
            try:
                events.extend(self._accept(receipt, now))
            except MessageError as error:
                events.extend(self._ignore(error.reason, now))
            except ViolationError as error:
                events.extend(self._violated(error.code, error.reason, now))
        return events

    def command(self, command: Command, *, now: float) -> list[Event]:
        """Queue a command, or carry it out at once where order does not matter."""
        call = self._live_call()
        if call is None:
            self.ignored["command_after_end"] += 1
            return []
        match command:
            case ClearPlayback():
                cleared = call.playout.clear(now=now)
                return [*cleared, *(self._send(command) if call.playout.is_answered else ())]
            case Answer():
                if call.playout.is_answered:
                    return []
                call.playout.is_answered = True
                return self._send(command)
            case HangUp() if not call.playout.is_answered:
                return self._hang_up(command, now)
        call.playout.push(command, now=now)
        return []

    def skip_overdue(self, *, before: float) -> float:
        """Ms of audio dropped that should have left before this time; see `Playout`."""
        call = self._live_call()
        return 0.0 if call is None else call.playout.skip_overdue(before=before)

    def tick(self, *, now: float) -> list[Event]:
        """Do what is due: what was held back comes, audio, marks and keys leave, the clock ends
        marks, the agent hangs up, a call that has ended is declared so."""
        if self._ending is not None and now >= self._ending.until:
            return self._finish(now)
        call = self._live_call()
        if call is None:
            return []
        events = call.inbound.tick(now=now)
        for command in call.playout.take_due(now=now):
            if isinstance(command, HangUp):
                events.extend(self._hang_up(command, now))
            else:
                events.extend(self._send(command))
        if self._live_call() is not None:
            events.extend(call.playout.heard(now=now))
        return events

    def next_time(self) -> float | None:
        if self._ending is not None and self.close is None:
            return self._ending.until
        call = self._live_call()
        if call is None:
            return None
        return sooner(call.inbound.next_time(), call.playout.next_time())

    def messages_to_send(self) -> list[Message]:
        return self._adapter.messages_to_send()

    def socket_closed(self, code: int | None, *, now: float) -> list[Event]:
        if self._ending is not None:
            return self._finish(now)
        detail = f"close code {code}"
        return self._end(Trigger.SOCKET_CLOSED, now, EndReason.CONNECTION_LOST, detail)

    def end(self, reason: EndReason, code: int, detail: str = "", *, now: float) -> list[Event]:
        """Give the stream up for a reason of our own."""
        return self._end(Trigger.FAIL, now, reason, detail, code=code)

    def _live_call(self) -> _Call | None:
        """The call, if it has started and nobody has ended it."""
        is_open = self._state.state is State.OPEN and self._ending is None
        return self._call if is_open else None

    # What the provider says.

    def _accept(self, receipt: Receipt, now: float) -> Sequence[Event]:
        match receipt:
            case CallStarted():
                return self._start(receipt)
            case Ignored(reason=reason):
                return self._ignore(reason, now)
            case Violated(code=code, reason=reason):
                return self._violated(code, reason, now)
            case HungUp(reason=reason):
                return self._announce_end(Trigger.STOP, reason, "", 1000, now)
            case CallEnded():
                return self._stop(receipt, now)
            case _:
                return self._accept_media(receipt, now)

    def _accept_media(
        self,
        receipt: MediaReceived | KeyPressed | MarkEchoed | Event,
        now: float,
    ) -> Sequence[Event]:
        self._state.fire(Trigger.MEDIA)
        call = self._live_call()
        if call is None:
            raise MessageError("after_end")
        match receipt:
            case MediaReceived():
                return call.inbound.receive(receipt, now=now)
            case KeyPressed():
                call.inbound.press(receipt, now=now)
                return []
            case MarkEchoed(name=name):
                return call.playout.echo(name)
            case _:
                return [receipt]

    def _start(self, started: CallStarted) -> list[Event]:
        if not self._state.fire(Trigger.START):
            raise MessageError("after_end")
        adapter = self._adapter
        self._call = _Call(
            Inbound(started.format, adapter.ordering),
            Playout(started.play_format or started.format, adapter.traits, lead_ms=self._lead_ms),
        )
        return [started]

    def _stop(self, stop: CallEnded, now: float) -> list[Event]:
        if self._ending is not None:
            return self._finish(now, stop.metadata)
        return self._end(Trigger.STOP, now, stop.reason, stop.detail, metadata=stop.metadata)

    def _ignore(self, reason: str, now: float) -> list[Event]:
        self.ignored[reason] += 1
        if self._tolerance.is_exhausted_by(reason, now=now):
            return self._violated(1008, f"too many messages: {reason}", now)
        return []

    def _violated(self, code: int, reason: str, now: float) -> list[Event]:
        self.ignored["violation"] += 1
        return self._end(Trigger.FAIL, now, EndReason.PROTOCOL_VIOLATED, reason, code=code)

    # What the agent asks for.

    def _send(self, command: Command) -> list[Event]:
        try:
            self._adapter.send(command)
        except UnsupportedError as error:
            self.ignored["unsupported_command"] += 1
            kind, detail = type(command), str(error)
            # Told once a call, or audio would tell it 50 times a second.
            if (kind, detail) not in self._refused:
                self._refused.add((kind, detail))
                return [ProviderFailed("unsupported_command", kind.__name__, detail)]
        return []

    def _hang_up(self, command: HangUp, now: float) -> list[Event]:
        code = _CLOSE_CODES.get(command.reason, 1000)
        refused = self._send(command)
        if self._adapter.traits.tells_more_after_hang_up:
            return refused + self._announce_end(
                Trigger.HANG_UP, command.reason, command.detail, code, now
            )
        return refused + self._end(Trigger.HANG_UP, now, command.reason, command.detail, code=code)

    # How it ends.

    def _announce_end(
        self, trigger: Trigger, reason: EndReason, detail: str, code: int, now: float
    ) -> list[Event]:
        if self._call is None or self._ending is not None:
            return self._end(trigger, now, reason, detail, code=code)
        self._ending = _Ending(trigger, reason, detail, code, now + _LAST_WORDS_S)
        return _last_events(self._call, now)

    def _finish(self, now: float, metadata: Metadata | None = None) -> list[Event]:
        """The end announced before becomes the end."""
        ending = self._ending
        assert ending is not None
        return self._end(
            ending.trigger,
            now,
            ending.reason,
            ending.detail,
            code=ending.code,
            metadata=metadata,
        )

    def _end(
        self,
        trigger: Trigger,
        now: float,
        reason: EndReason,
        detail: str = "",
        *,
        code: int = 1000,
        metadata: Metadata | None = None,
    ) -> list[Event]:
        if not self._state.fire(trigger):
            return []
        self.close = Close(code, detail if code != 1000 else "")
        call = self._call
        if call is None:
            return []
        return [*_last_events(call, now), CallEnded(reason, detail, metadata or {})]


def _last_events(call: _Call, now: float) -> list[Event]:
    """What has not been told of a call that is over; nothing the second time."""
    return [*call.inbound.flush(), *call.playout.lose(now=now)]
