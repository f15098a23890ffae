"""When may each piece of audio leave; sans-IO.

Audio is released at the speed at which it is heard, at most the lead ahead of the caller's ear.
The pacer keeps one instant, `_ends_at`: when everything sent so far will have been heard. A piece
of n samples moves it on by exactly n / rate, so late wake-ups never add up; only silence, when the
instant has passed, starts it anew.

Rule 1: nothing overtakes the audio before it, except `clear`.
Rule 2: a mark leaves with the last audio before it; hanging up waits until that audio was heard.
Rule 3: positions are samples of play format since the start, and never go back.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from common.audio import AudioFormat
from common.commands import Command, HangUp, PlayAudio, SetMark
from common.packets import samples_in

__all__ = ["Pacer", "Pacing"]

#: The caller hears later than our clock says, by the way to the provider and its jitter buffer.
#: Hanging up grants this much, so that the last word is not cut off.
HANG_UP_MARGIN_S = 0.1

#: How long before the caller would hear a gap a frame that is not full leaves all the same.
_LAST_MOMENT_S = 0.005

#: From so many frames that are due at once, one long message is cheaper for both sides.
_COALESCE_FRAMES = 5


class Pacing(NamedTuple):
    frame_ms: int = 20
    lead_ms: int = 200
    max_message_ms: int = 1000
    min_interval_ms: int = 0
    whole_frames: bool = False


class Pacer:
    def __init__(self, audio_format: AudioFormat, pacing: Pacing) -> None:
        self._format = audio_format
        self._frame_samples = audio_format.samples_for_ms(pacing.frame_ms)
        self._max_samples = audio_format.samples_for_ms(pacing.max_message_ms)
        self._lead_s = pacing.lead_ms / 1000
        self._min_interval_s = pacing.min_interval_ms / 1000
        self._whole_frames = pacing.whole_frames and audio_format.has_silence
        self._queue: deque[Command] = deque()
        self._ends_at = 0.0
        self._not_before = 0.0
        self._sent = 0
        self._pushed = 0

    @property
    def pushed_samples(self) -> int:
        """Position of the end of everything pushed and not cleared."""
        return self._pushed

    @property
    def sent_samples(self) -> int:
        """Position of the end of everything that has left."""
        return self._sent

    def heard_samples(self, *, now: float) -> int:
        """Position that the caller's ear has reached."""
        unheard_s = max(0.0, self._ends_at - now)
        return self._sent - round(unheard_s * self._format.rate_hz)

    def heard_time(self, position: int) -> float:
        """When a position already sent is, or was, heard."""
        return self._ends_at - (self._sent - position) / self._format.rate_hz

    def push(self, command: Command) -> None:
        if isinstance(command, PlayAudio):
            samples = self._samples(command)
            if not command.payload:
                return
            self._pushed += samples
        self._queue.append(command)

    def clear(self, *, now: float, at_provider: bool) -> None:
        """Forget the queued audio and marks; `at_provider`: what was sent will not be heard
        either. Digits and hanging up stay."""
        self._queue = deque(c for c in self._queue if not isinstance(c, PlayAudio | SetMark))
        self._pushed = self._sent
        if at_provider:
            self._ends_at = min(self._ends_at, now)

    def skip(self, samples: int) -> int:
        """Forget up to so many samples, whole frames, from the front of the queued audio, and
        nothing else; how many it were. A packet that cannot be cut stays whole."""
        left = samples - samples % self._frame_samples
        before = self._pushed
        kept: deque[Command] = deque()
        for command in self._queue:
            if left and isinstance(command, PlayAudio):
                size = self._samples(command)
                if size <= left:
                    left -= size
                    self._pushed -= size
                    continue
                if self._format.is_sliceable:
                    command = PlayAudio(command.payload[self._format.bytes_for(left) :])
                    self._pushed -= left
                left = 0
            kept.append(command)
        self._queue = kept
        return before - self._pushed

    def next_time(self) -> float | None:
        """When `take_due` will have something; None when nothing is queued."""
        if not self._queue:
            return None
        match self._queue[0]:
            case PlayAudio():
                return self._audio_time()
            case HangUp():
                return self._ends_at + HANG_UP_MARGIN_S
            case _:
                return 0.0

    def take_due(self, *, now: float) -> list[Command]:
        """What may leave now, in order, audio cut to frames (or longer, when more is due)."""
        due: list[Command] = []
        while self._queue:
            command = self._queue[0]
            match command:
                case PlayAudio():
                    if now < self._audio_time():
                        break
                    due.append(self._take_audio(now))
                case HangUp() if now < self._ends_at + HANG_UP_MARGIN_S:
                    break
                case _:
                    due.append(self._queue.popleft())
        return due

    def _audio_time(self) -> float:
        lead_s = self._lead_s
        if self._whole_frames and self._pushed - self._sent < self._frame_samples:
            # A frame that is not full may be filled yet: it is padded when it must leave.
            lead_s = min(lead_s, _LAST_MOMENT_S)
        return max(self._ends_at - lead_s, self._not_before)

    def _take_audio(self, now: float) -> PlayAudio:
        start = max(self._ends_at, now)
        if self._format.is_sliceable:
            behind_s = now + self._lead_s - start
            frames = int(behind_s * self._format.rate_hz) // self._frame_samples
            if frames < _COALESCE_FRAMES:
                frames = 1
            if self._whole_frames:
                frames = max(1, min(frames, (self._pushed - self._sent) // self._frame_samples))
            taken = self._slice(min(frames * self._frame_samples, self._max_samples))
        else:
            command = self._queue.popleft()
            assert isinstance(command, PlayAudio)
            taken = command
        self._not_before = now + self._min_interval_s
        samples = self._samples(taken)
        self._sent += samples
        self._ends_at = start + samples / self._format.rate_hz
        return taken

    def _slice(self, samples: int) -> PlayAudio:
        """Up to `samples` from the front of the queue, across payloads, not across a mark."""
        wanted = self._format.bytes_for(samples)
        parts: list[bytes] = []
        while wanted and self._queue and isinstance(self._queue[0], PlayAudio):
            payload = self._queue[0].payload
            parts.append(payload[:wanted])
            if len(payload) > wanted:
                self._queue[0] = PlayAudio(payload[wanted:])
            else:
                self._queue.popleft()
            wanted -= len(parts[-1])
        audio = parts[0] if len(parts) == 1 else b"".join(parts)
        return PlayAudio(audio + self._padding(len(audio)))

    def _padding(self, size_bytes: int) -> bytes:
        if not self._whole_frames:
            return b""
        missing = -size_bytes % self._format.bytes_for(self._frame_samples)
        self._pushed += self._format.samples_in(missing)
        return self._format.silence(missing)

    def _samples(self, command: PlayAudio) -> int:
        return (
            self._format.samples_in(len(command.payload))
            or command.samples
            or samples_in(command.payload, self._format)
        )
