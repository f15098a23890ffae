"""One provider stream, whole, without I/O: adapter, state table, pacer and marks put together.

The session (`edge/session.py`) holds the socket and calls in; everything that can be said about a
stream without a socket or a clock is said here. The order for a caller is: hand in what happened
(`receive`, `command`, `tick`, `socket_closed`, `end`), publish the events returned, write
`messages_to_send()`, close the socket when `close` is set, come back at `next_time()`.

Rule 1: the events of a stream are CallStarted first, CallEnded last, each once, whatever happens.
Rule 2: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from common.commands import ClearPlayback, Command, HangUp, PlayAudio, SetMark
from common.errors import MessageError, UnsupportedError, ViolationError
from common.events import (
    CallEnded,
    CallStarted,
    EndReason,
    Event,
    Metadata,
    ProviderFailed,
)
from edge.adapter import Ignored, MarkEchoed, Message, Provider, Receipt, Violated
from edge.marks import Marks
from edge.pacer import Pacer, Pacing
from edge.stream_state import State, StreamState, Trigger

__all__ = ["Close", "Stream"]

# How long a provider that cannot clear may be sent ahead: what it has, the caller will hear.
_LEAD_WITHOUT_CLEAR_MS = 60


class Close(NamedTuple):
    """How the socket is to be closed."""

    code: int
    reason: str = ""


class _Playout(NamedTuple):
    pacer: Pacer
    marks: Marks


_CLOSE_CODES = {EndReason.AGENT_FAILED: 1011}


class Stream:
    def __init__(self, provider: Provider, *, lead_ms: int) -> None:
        self._playback = provider.playback
        self._lead_ms = lead_ms if self._playback.clears else _LEAD_WITHOUT_CLEAR_MS
        self._adapter = provider.open_adapter()
        self._state = StreamState()
        self._playout: _Playout | None = None
        self.close: Close | None = None
        #: Messages and commands without effect, by reason; the session moves them to the metrics.
        self.ignored: Counter[str] = Counter()

    @property
    def is_open(self) -> bool:
        return self._state.state is State.OPEN

    def receive(self, message: Message, *, now: float) -> list[Event]:
        events: list[Event] = []
        for receipt in self._adapter.receive(message):
            try:
                events.extend(self._accept(receipt, now))
            except MessageError as error:
                self.ignored[error.reason] += 1
            except ViolationError as error:
                events.extend(self._violated(error.code, error.reason, now))
        return events

    def command(self, command: Command, *, now: float) -> list[Event]:
        """Queue a command, or carry it out at once where order does not matter."""
        if self._playout is None or not self.is_open:
            self.ignored["command_after_end"] += 1
            return []
        pacer, marks = self._playout
        match command:
            case ClearPlayback():
                return self._clear(pacer, marks, now)
            case SetMark(name=name):
                marks.set(name, pacer.pushed_samples)
                pacer.push(command)
            case _:
                pacer.push(command)
        return []

    def tick(self, *, now: float) -> list[Event]:
        """Do what is due: audio, marks and keys leave, the clock ends marks, the agent hangs up."""
        if self._playout is None or not self.is_open:
            return []
        pacer, marks = self._playout
        events: list[Event] = []
        for command in pacer.take_due(now=now):
            events.extend(self._send(command))
            if isinstance(command, SetMark):
                marks.sent()
            elif isinstance(command, HangUp):
                code = _CLOSE_CODES.get(command.reason, 1000)
                events.extend(
                    self._end(Trigger.HANG_UP, now, command.reason, command.detail, code=code)
                )
                return events
        events.extend(marks.heard(pacer.heard_samples(now=now)))
        return events

    def next_time(self) -> float | None:
        if self._playout is None or not self.is_open:
            return None
        pacer, marks = self._playout
        position = marks.next_position()
        times = [pacer.next_time(), None if position is None else pacer.heard_time(position)]
        return min((time for time in times if time is not None), default=None)

    def messages_to_send(self) -> list[Message]:
        return self._adapter.messages_to_send()

    def socket_closed(self, code: int | None, *, now: float) -> list[Event]:
        return list(
            self._end(
                Trigger.SOCKET_CLOSED,
                now,
                EndReason.CONNECTION_LOST,
                f"close code {code}",
                code=1000,
            )
        )

    def end(self, reason: EndReason, code: int, detail: str = "", *, now: float) -> list[Event]:
        """Give the stream up for a reason of our own."""
        return list(self._end(Trigger.FAIL, now, reason, detail, code=code))

    def _accept(self, receipt: Receipt, now: float) -> Iterator[Event]:
        match receipt:
            case Ignored(reason=reason):
                self.ignored[reason] += 1
            case Violated(code=code, reason=reason):
                yield from self._violated(code, reason, now)
            case CallStarted():
                if self._fire(Trigger.START):
                    self._open(receipt)
                    yield receipt
            case CallEnded(reason=reason, detail=detail, metadata=metadata):
                yield from self._end(Trigger.STOP, now, reason, detail, metadata=metadata)
            case MarkEchoed(name=name):
                if self._fire(Trigger.MEDIA) and self._playout is not None:
                    reached = self._playout.marks.echo(name)
                    if reached is not None:
                        yield reached
            case _:
                if self._fire(Trigger.MEDIA):
                    yield receipt

    def _fire(self, trigger: Trigger) -> bool:
        counts = self._state.fire(trigger)
        if not counts:
            self.ignored["after_end"] += 1
        return counts

    def _open(self, started: CallStarted) -> None:
        audio_format = started.play_format or started.format
        playback = self._playback
        pacing = Pacing(
            playback.frame_ms, self._lead_ms, playback.max_message_ms, playback.whole_frames
        )
        self._playout = _Playout(
            Pacer(audio_format, pacing),
            Marks(
                audio_format,
                echoed=playback.echoes_marks,
                returned_after_clear=playback.returns_cleared_marks,
            ),
        )

    def _clear(self, pacer: Pacer, marks: Marks, now: float) -> list[Event]:
        heard = pacer.heard_samples(now=now)
        pacer.clear(now=now, at_provider=self._playback.clears)
        events: list[Event] = [*marks.clear(heard=heard, position=pacer.pushed_samples)]
        return events + self._send(ClearPlayback())

    def _send(self, command: Command) -> list[Event]:
        is_unheard_of = not self._playback.echoes_marks and isinstance(command, SetMark)
        if is_unheard_of or (isinstance(command, PlayAudio) and not command.payload):
            return []
        try:
            self._adapter.send(command)
        except UnsupportedError as error:
            return [ProviderFailed("unsupported_command", type(command).__name__, str(error))]
        return []

    def _violated(self, code: int, reason: str, now: float) -> Iterator[Event]:
        self.ignored["violation"] += 1
        yield from self._end(Trigger.FAIL, now, EndReason.PROTOCOL_VIOLATED, reason, code=code)

    def _end(
        self,
        trigger: Trigger,
        now: float,
        reason: EndReason,
        detail: str = "",
        *,
        code: int = 1000,
        metadata: Metadata | None = None,
    ) -> Iterator[Event]:
        was_open = self.is_open
        if not self._state.fire(trigger):
            return
        self.close = Close(code, detail if code != 1000 else "")
        if was_open and self._playout is not None:
            pacer, marks = self._playout
            yield from marks.lose(heard=pacer.heard_samples(now=now))
            yield CallEnded(reason, detail, metadata or {})
