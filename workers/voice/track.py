"""One track of a call, decoded: no gaps, and at the rate that was asked for.

Rule 1: time stays true. Lost frames were as long as the one after them; a payload that is no audio
        counts as lost, as long as the one before it.
Rule 2: what stands for a gap is handed over in pieces of a second at most, and no gap is filled
        beyond its last 20 seconds: a provider's numbers may lie.
"""

from __future__ import annotations

from collections.abc import Iterator

from common.errors import CodecError
from common.events import AudioReceived
from workers import metrics
from workers.audio.codec import Pcm
from workers.audio.concealment import Concealment
from workers.audio.resampler import Resampler
from workers.audio.sound import Decoded, HeardAudio
from workers.voice.late_decoder import LateDecoder

__all__ = ["Track"]

_MAX_FILLED_S = 20
_USUAL_FRAMES_PER_S = 50


class Track:
    """`to_hz`: None for the codec's own rate. Raises AgentError where there is no decoder."""

    def __init__(self, decoder: LateDecoder, to_hz: int | None) -> None:
        self._decoder = decoder
        from_hz = decoder.rate_hz
        self._concealment = Concealment(from_hz)
        self._resampler = Resampler(from_hz, to_hz or from_hz)
        self._rate_hz = to_hz or from_hz
        self._frame_samples = from_hz // _USUAL_FRAMES_PER_S

    def hear(self, event: AudioReceived) -> Iterator[HeardAudio]:
        """What stands for the gap before the frame, then the frame."""
        pcm = self._decoded(event.payload)
        if pcm is not None and len(pcm):
            self._frame_samples = len(pcm)
        yield from self._gap(event)
        if pcm is None:
            yield self._concealed(event, self._frame_samples)
            return
        pcm = self._concealment.join(pcm)
        self._concealment.heard(pcm)
        yield HeardAudio(event, self._decoder.format, self._resampled(pcm))

    def _decoded(self, payload: bytes) -> Pcm | None:
        """None when it is no audio."""
        try:
            return self._decoder.decode(payload)
        except CodecError:
            metrics.PAYLOADS_REFUSED.inc()
            return None

    def _gap(self, event: AudioReceived) -> Iterator[HeardAudio]:
        rate_hz = self._decoder.rate_hz
        missing = min(event.lost_frames * self._frame_samples, _MAX_FILLED_S * rate_hz)
        while missing > 0:
            before_ms = missing * 1000 // rate_hz
            piece = AudioReceived(
                b"",
                max(0, event.offset_ms - before_ms),
                event.sequence + -missing // self._frame_samples,
                track=event.track,
            )
            samples = min(missing, rate_hz)
            missing -= samples
            yield self._concealed(piece, samples)

    def _concealed(self, event: AudioReceived, samples: int) -> HeardAudio:
        metrics.CONCEALED.inc(samples / self._decoder.rate_hz)
        pcm = self._resampled(self._concealment.conceal(samples))
        return HeardAudio(event, self._decoder.format, pcm, is_concealed=True)

    def _resampled(self, pcm: Pcm) -> Decoded:
        return Decoded(self._rate_hz, self._resampler.process(pcm))
