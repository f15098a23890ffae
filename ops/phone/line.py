"""One call as the provider lives it, sans-IO: what to say when, what the caller hears.

    silent ──► ringing ──Answer──► talking ──all said, all heard, quiet──► over
       └───────────└────no answer, HangUp, hang_up()──────────────────────► over

Rule 1: chunk n leaves at start + n * 20 ms, or, shuffled, a few chunks later. A late wake-up is
        made up for at once and shifts nothing that follows.
Rule 2: drain `messages_to_send` at `next_time`, and after every message that was received.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

import msgspec

from common.audio import AudioFormat
from ops.phone.dialect import (
    Answer,
    AudioToPlay,
    Clear,
    Dialect,
    Fault,
    HangUp,
    KeyToPress,
    MarkToEcho,
    Received,
    WsMessage,
)
from ops.phone.keypad import FIRST_KEY_S, KEY_INTERVAL_S
from ops.phone.outbox import Outbox
from ops.phone.playout import MarkEnd, Playout
from ops.phone.shuffle import Shuffle

__all__ = ["CallRecord", "Ending", "Line", "Script"]

#: Seconds without anything from the far end, after which it is taken to have no more to say.
QUIET_S = 0.7
#: Seconds the line stays open at most once the caller has said everything.
LINGER_S = 5.0
#: The same for a caller to whom some of the echo that it expects is missing.
ECHO_S = 15.0
#: Seconds a call may ring.
RING_S = 10.0

_NEVER = float("inf")


class Script(msgspec.Struct, frozen=True):
    """What the caller does. `digits` are pressed by message; keys that sound are in the chunks,
    and `sounding_digits` says which. Who expects an echo waits for all of it, within reason;
    `shuffle_seed`: None leaves the chunks in order."""

    chunks: list[bytes]
    digits: str = ""
    sounding_digits: str = ""
    expects_echo: bool = False
    shuffle_seed: str | None = None


class Ending(StrEnum):
    COMPLETED = "completed"
    HUNG_UP = "hung up by the agent"
    INTERRUPTED = "interrupted"
    UNANSWERED = "not answered"
    NOT_PLACED = "not placed"
    CLOSED = "closed by the edge"
    LOST = "connection lost"


class CallRecord:
    """Everything that happened on a call. `arrivals`: when the received audio had reached so many
    bytes, one entry a message."""

    def __init__(self, dialect: Dialect, script: Script) -> None:
        self.dialect = dialect
        self.script = script
        self.sent_at: list[float] = []
        self.pressed_at: list[float] = []
        self.received = bytearray()
        self.arrivals: list[tuple[int, float]] = []
        self.playout = Playout(dialect.play_format or dialect.format)
        self.keys: list[str] = []  # that the far end pressed, by message
        self.faults: Counter[str] = Counter()
        self.ending = Ending.COMPLETED
        self.close_code: int | None = None
        self.ended_at = 0.0

    @property
    def play_format(self) -> AudioFormat:
        return self.dialect.play_format or self.dialect.format

    @property
    def frames_received(self) -> int:
        """As many as last as long as all that was received."""
        return self.frames_in(self.playout.received_samples)

    def frames_in(self, samples: int) -> int:
        """Whole ones, as long as a chunk of the caller's."""
        return samples // self.play_format.samples_for_ms(self.dialect.chunk_ms)

    @property
    def cleared_at(self) -> list[float]:
        return self.playout.cleared_at

    @property
    def sent(self) -> list[bytes]:
        return self.script.chunks[: len(self.sent_at)]


class Line:
    def __init__(self, dialect: Dialect, script: Script) -> None:
        self.record = CallRecord(dialect, script)
        self.is_over = False
        self._manners = dialect.open_call()
        self._outbox = Outbox()
        self._shuffle = None if script.shuffle_seed is None else Shuffle(script.shuffle_seed)
        self._rings_from = _NEVER
        self._has_greeted = False
        self._talks_since: float | None = None
        self._last_said_at = 0.0
        self._last_received_at = 0.0
        self._is_hanging_up = False

    @property
    def is_hanging_up(self) -> bool:
        return self._is_hanging_up

    @property
    def longest_s(self) -> float:
        """Seconds after which the call is over, however the far end behaves."""
        dialect, script = self.record.dialect, self.record.script
        speech_s = len(script.chunks) * dialect.chunk_ms / 1000
        keys_s = FIRST_KEY_S + len(script.digits) * KEY_INTERVAL_S
        return dialect.silent_s + RING_S + max(speech_s, keys_s) + max(LINGER_S, ECHO_S)

    def open(self, *, now: float) -> list[WsMessage]:
        self._rings_from = now + self.record.dialect.silent_s
        return self._greet(now)

    def receive(self, message: WsMessage, *, now: float) -> None:
        self._last_received_at = now
        received: Received = self._manners.receive(message)
        match received:
            case AudioToPlay():
                self._hear(received, now)
            case MarkToEcho(name):
                self.record.playout.mark(name, now=now)
            case Clear():
                self.record.playout.clear(now=now)
            case Answer():
                self._answer(now)
            case HangUp():
                self.hang_up(Ending.HUNG_UP)
            case Fault(text, reply):
                self.record.faults[text] += 1
                if reply is not None:
                    self._outbox.put([reply], at=now)
            case KeyToPress(digit):
                self.record.keys.append(digit)

    def hang_up(self, ending: Ending) -> None:
        """Say goodbye at the next occasion, whatever is still to be said or heard."""
        if not self._is_hanging_up:
            self._is_hanging_up = True
            self.record.ending = ending

    def fail(self, ending: Ending, text: str, *, close_code: int | None = None) -> None:
        """The call is over and did not behave."""
        self.record.ending = ending
        self.record.close_code = close_code
        self.record.faults[text] += 1
        self.is_over = True

    def messages_to_send(self, *, now: float) -> list[WsMessage]:
        messages = self._greet(now)
        messages += self._speak(now)
        while self._next_key_time() <= now:
            digit = self.record.script.digits[len(self.record.pressed_at)]
            messages += self._manners.dtmf(digit)
            self.record.pressed_at.append(now)
            self._last_said_at = now
        for mark in self.record.playout.take_ended_marks(now=now):
            is_cleared = mark.end is MarkEnd.CLEARED
            messages += self._manners.mark_echo(mark.name, is_cleared=is_cleared)
        if not self.is_over and self._goodbye_time() <= now:
            messages += self._say_goodbye()
        return messages

    def next_time(self) -> float:
        mark_time = self.record.playout.next_mark_time
        return min(
            _NEVER if self._has_greeted else self._rings_from,
            self._next_chunk_time(),
            self._outbox.next_time,
            self._next_key_time(),
            _NEVER if mark_time is None else mark_time,
            self._goodbye_time(),
        )

    def _greet(self, now: float) -> list[WsMessage]:
        if self._has_greeted or self._is_hanging_up or now < self._rings_from:
            return []
        self._has_greeted = True
        if not self.record.dialect.rings:
            self._answer(now)
        return self._manners.open()

    def _speak(self, now: float) -> list[WsMessage]:
        messages: list[WsMessage] = []
        while (due := self._next_chunk_time()) <= now:
            said = self._manners.media(self.record.script.chunks[len(self.record.sent_at)])
            self._last_said_at = now
            if self._shuffle is None:
                self.record.sent_at.append(now)
                messages += said
            else:
                leaves_at = [due + delay_s for delay_s in self._delays_s(self._shuffle)]
                self.record.sent_at.append(max(now, min(leaves_at)))
                for at in leaves_at:
                    self._outbox.put(said, at=at)
        late = self._outbox.take_due(now=now)
        if late:
            self._last_said_at = now
        return messages + late

    def _delays_s(self, shuffle: Shuffle) -> list[float]:
        return [chunks * self.record.dialect.chunk_ms / 1000 for chunks in shuffle.delays()]

    def _say_goodbye(self) -> list[WsMessage]:
        self.is_over = True
        messages = self._outbox.take_all()
        if self._has_greeted:
            messages += self._manners.stop()
        if self._talks_since is None and not self._is_hanging_up:
            self.fail(Ending.UNANSWERED, f"not answered within {RING_S:g} s")
        return messages

    def _answer(self, now: float) -> None:
        if self._talks_since is None:
            self._talks_since = self._last_said_at = now

    def _hear(self, audio: AudioToPlay, now: float) -> None:
        self.record.received += audio.payload
        self.record.arrivals.append((len(self.record.received), now))
        self.record.playout.play(audio.payload, audio.samples, now=now)

    def _next_chunk_time(self) -> float:
        number = len(self.record.sent_at)
        if self._talks_since is None or number >= len(self.record.script.chunks):
            return _NEVER
        return self._talks_since + number * self.record.dialect.chunk_ms / 1000

    def _next_key_time(self) -> float:
        number = len(self.record.pressed_at)
        if self._talks_since is None or number >= len(self.record.script.digits):
            return _NEVER
        return self._talks_since + FIRST_KEY_S + number * KEY_INTERVAL_S

    def _goodbye_time(self) -> float:
        """When the caller hangs up, as far as can be told now."""
        if self._is_hanging_up:
            return -_NEVER
        if self._talks_since is None:
            return self._rings_from + RING_S
        next_word = (self._next_chunk_time(), self._next_key_time(), self._outbox.next_time)
        if min(next_word) < _NEVER:
            return _NEVER
        frames_missing = len(self.record.sent_at) - self.record.frames_received
        if self.record.script.expects_echo and frames_missing > 0:
            return self._last_said_at + ECHO_S
        latest = self._last_said_at + LINGER_S
        is_quiet_at = max(self._last_said_at, self._last_received_at) + QUIET_S
        return min(max(is_quiet_at, self.record.playout.end_time), latest)
