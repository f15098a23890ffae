"""What comes from the caller, put in order: audio by its number, keys by their date; sans-IO.

Audio is numbered anew and dated by counting samples. Providers' timestamps are not used: they can
jump, wrap and lie.
"""

from __future__ import annotations

from common.audio import AudioFormat
from common.errors import MessageError
from common.events import AudioReceived, DtmfReceived, Event
from common.packets import samples_in
from edge.adapter import KeyPressed, MediaReceived, Ordering
from edge.deadlines import sooner
from edge.reorder import DatedHold, NumberedWindow, Released

__all__ = ["Inbound"]

_MAX_TRACKS = 2


class Inbound:
    """All tracks of a stream, and its keys."""

    def __init__(self, audio_format: AudioFormat, ordering: Ordering) -> None:
        self._format = audio_format
        self._ordering = ordering
        self._tracks: dict[str, _Track] = {}
        self._keys: DatedHold[DtmfReceived] = DatedHold(hold_s=ordering.hold_ms / 1000)

    def receive(self, media: MediaReceived, *, now: float) -> list[AudioReceived]:
        """Raises MessageError for audio that is empty, came before, or is out of range."""
        track = self._tracks.get(media.track)
        if track is None:
            if len(self._tracks) == _MAX_TRACKS:
                raise MessageError("malformed")
            track = self._tracks[media.track] = _Track(self._format, self._ordering)
        return track.receive(media, now=now)

    def press(self, key: KeyPressed, *, now: float) -> None:
        self._keys.push(key.occurred_at, key.event, now=now)

    def tick(self, *, now: float) -> list[Event]:
        """What has waited long enough."""
        events: list[Event] = [*self._keys.tick(now=now)]
        for track in self._tracks.values():
            events.extend(track.tick(now=now))
        return events

    def flush(self) -> list[Event]:
        """The call is over: what has waited so far."""
        events: list[Event] = [*self._keys.flush()]
        for track in self._tracks.values():
            events.extend(track.flush())
        return events

    def next_time(self) -> float | None:
        earliest = self._keys.next_time()
        for track in self._tracks.values():
            earliest = sooner(earliest, track.next_time())
        return earliest


class _Track:
    def __init__(self, audio_format: AudioFormat, ordering: Ordering) -> None:
        self._format = audio_format
        self._window: NumberedWindow[MediaReceived] = NumberedWindow(
            frames=ordering.frames, hold_s=ordering.hold_ms / 1000
        )
        self._sequence = 0
        self._samples = 0
        self._usual_samples = 0
        self._tail = b""

    def receive(self, media: MediaReceived, *, now: float) -> list[AudioReceived]:
        if not media.payload:
            raise MessageError("empty")
        if media.number is None:
            return self._dated([Released(media, 0)])
        return self._dated(self._window.push(media.number, media, now=now))

    def tick(self, *, now: float) -> list[AudioReceived]:
        return self._dated(self._window.tick(now=now))

    def flush(self) -> list[AudioReceived]:
        return self._dated(self._window.flush())

    def next_time(self) -> float | None:
        return self._window.next_time()

    def _dated(self, released: list[Released[MediaReceived]]) -> list[AudioReceived]:
        return [audio for item in released if (audio := self._audio(item.item, item.lost))]

    def _audio(self, media: MediaReceived, lost: int) -> AudioReceived | None:
        """Frames lost before this one are taken to have been as long as it, so that time stays
        true. Bytes of a sample that is not complete are kept for the next frame."""
        payload = self._tail + media.payload if self._tail else media.payload
        whole = len(payload) - self._format.torn_bytes(len(payload))
        payload, self._tail = payload[:whole], payload[whole:]
        if not payload:
            return None
        # A packet that is damaged does not tell how long it was: as long as those before it.
        samples = samples_in(payload, self._format) or self._usual_samples
        self._usual_samples = samples
        self._sequence += 1 + lost
        self._samples += samples * lost
        offset_ms = int(self._format.ms(self._samples))
        self._samples += samples
        return AudioReceived(payload, offset_ms, self._sequence, lost, media.track, media.sequence)
