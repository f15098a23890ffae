"""A stream and the provider at its far end, in simulated time."""

from __future__ import annotations

from common.commands import Answer, Command, SetMark
from common.events import CallEnded, CallStarted, EndReason, Event, MarkReached
from edge.adapter import Message
from edge.stream import Stream
from tests.contract.far_end import FarEnd
from tests.contract.samples import Sample

__all__ = ["Call"]


class Call:
    """Starts answered, unless told otherwise. Echoes of marks are on their way for `delay_s`."""

    def __init__(
        self,
        sample: Sample,
        *,
        lead_ms: int = 200,
        delay_s: float = 0.03,
        is_answered: bool = True,
    ) -> None:
        self._sample = sample
        self._delay_s = delay_s
        self._on_their_way: list[tuple[float, str]] = []
        self.adapter = sample.adapter()
        self.stream = Stream(self.adapter, lead_ms=lead_ms)
        self.now = 1000.0
        self.events: list[Event] = []
        self.marks_set: list[str] = []
        for message in sample.opening:
            self.events += self.stream.receive(message, now=self.now)
        (started,) = self.events
        assert isinstance(started, CallStarted)
        self.format = started.play_format or started.format
        self.far_end = FarEnd(self.format)
        if is_answered:
            self.ask(Answer())

    def hear(self, *messages: Message) -> None:
        for message in messages:
            self.events += self.stream.receive(message, now=self.now)
        self._settle()

    def ask(self, *commands: Command) -> None:
        for command in commands:
            self.events += self.stream.command(command, now=self.now)
        self._settle()

    def mark(self) -> None:
        """Set a mark by a name of its own."""
        self.marks_set.append(f"m{len(self.marks_set)}")
        self.ask(SetMark(self.marks_set[-1]))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self._next_time()) <= until:
            self.now = max(self.now, due)
            self._deliver()
            self._settle()
        self.now = until
        self._settle()

    def lose_socket(self) -> None:
        self.events += self.stream.socket_closed(1006, now=self.now)

    def give_up(self) -> None:
        self.events += self.stream.end(EndReason.EDGE_DRAINED, 1012, "edge restarts", now=self.now)

    @property
    def marks(self) -> list[MarkReached]:
        return [event for event in self.events if isinstance(event, MarkReached)]

    @property
    def ends(self) -> list[CallEnded]:
        return [event for event in self.events if isinstance(event, CallEnded)]

    def _next_time(self) -> float:
        times = [time for time, _ in self._on_their_way]
        if (due := self.stream.next_time()) is not None:
            times.append(due)
        if self._sample.echo is not None and (at := self.far_end.next_mark()) is not None:
            times.append(at)
        return min(times, default=float("inf"))

    def _deliver(self) -> None:
        arrived = [name for at, name in self._on_their_way if at <= self.now]
        self._on_their_way = [(at, n) for at, n in self._on_their_way if at > self.now]
        for name in arrived:
            self.events += self.stream.receive(self._sample.echo_of(name), now=self.now)

    def _settle(self) -> None:
        self.events += self.stream.tick(now=self.now)
        names = self.far_end.reached(now=self.now)
        names += self.far_end.take(self.stream.messages_to_send(), now=self.now)
        names += self.far_end.reached(now=self.now)
        self._on_their_way += [(self.now + self._delay_s, name) for name in names]
