"""What was said on a call, on the caller's time line: the caller left, the agent right.

Rule 1: time is the caller's audio. The agent is heard from where the caller has got to, behind
        what is queued already, and no more from where a clear was asked for.
Rule 2: the file runs ahead of the caller with what is queued, so that a place in it, which is two
        numbers, is all that a next owner needs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from common import packets
from common.audio import AudioFormat
from common.commands import ClearPlayback, Command, PlayAudio
from common.errors import AgentError, CodecError
from workers.audio.codec import Pcm
from workers.audio.resampler import Resampler
from workers.audio.sound import HeardAudio
from workers.voice.late_decoder import LateDecoder
from workers.voice.stereo_wav import LEFT, RIGHT, StereoWav

__all__ = ["Issued", "Place", "Recording"]

_log = logging.getLogger(__name__)

#: Less than this is no jump of time, nor a pause: offsets are rounded, filters hold back.
_JUMP_MS = 10


class Place(msgspec.Struct):
    """How far each channel has got, in samples of the file."""

    heard: int = 0
    played: int = 0


class Issued(NamedTuple):
    """A command, and how far the caller had got when the agent issued it."""

    command: Command
    at: int


class Recording:
    """`place`: the predecessor's; it is kept up to date in place."""

    def __init__(
        self, file: StereoWav, rate_hz: int, play_format: AudioFormat, place: Place
    ) -> None:
        self._file = file
        self._rate_hz = rate_hz
        self._jump = rate_hz * _JUMP_MS // 1000
        self._place = place
        self._play_format = play_format
        self._decoder = LateDecoder(play_format)
        self._caller: Resampler | None = None
        self._agent: Resampler | None = None
        self._is_deaf = False  # to the agent, whose format has no decoder

    def heard(self, audio: HeardAudio) -> None:
        expected = audio.offset_ms * self._rate_hz // 1000
        if self._caller is None:
            self._caller = Resampler(audio.rate_hz, self._rate_hz)
            self._place.heard = expected
        elif expected - self._place.heard > self._jump:
            self._place.heard = expected
        pcm = self._caller.process(audio.pcm)
        self._file.write(LEFT, self._place.heard, pcm)
        self._place.heard += len(pcm)

    def issued(self, commands: Iterable[Issued]) -> None:
        """Decodes: to be called in a thread for what is long."""
        for command, at in commands:
            match command:
                case PlayAudio():
                    self._play(command, at)
                case ClearPlayback():
                    self._clear(at)

    def close(self) -> None:
        """The call is over: what is still queued nobody will hear."""
        if self._place.heard:
            self._file.cut(self._place.heard)
        self._file.close()

    def _play(self, command: PlayAudio, at: int) -> None:
        if at - self._place.played > self._jump:  # the agent had fallen silent
            self._end_of_utterance()
            self._place.played = at
        if self._is_deaf:
            return
        try:
            pcm = self._decoded(command)
        except AgentError as error:
            self._is_deaf = True
            _log.warning("the agent is not recorded: %s", error)
            return
        self._append(pcm)

    def _append(self, pcm: Pcm) -> None:
        self._file.write(RIGHT, self._place.played, pcm)
        self._place.played += len(pcm)

    def _decoded(self, command: PlayAudio) -> Pcm:
        if self._agent is None:
            self._agent = Resampler(self._decoder.rate_hz, self._rate_hz)
        try:
            return self._agent.process(self._decoder.decode(command.payload))
        except CodecError:  # of bytes that the agent took for audio: as silent as on the telephone
            lasts = packets.samples_in(command.payload, self._play_format) or command.samples
            return np.zeros(lasts * self._rate_hz // self._play_format.rate_hz, np.int16)

    def _end_of_utterance(self) -> None:
        """What the filter holds back."""
        if self._agent is not None:
            self._append(self._agent.flush())
            self._agent = None

    def _clear(self, at: int) -> None:
        place = self._place
        self._agent = None
        # The caller may have got further since. Beyond that, there is only what was queued.
        self._file.write(RIGHT, at, np.zeros(max(0, min(place.heard, place.played) - at), np.int16))
        self._file.cut(max(at, place.heard))
        place.played = min(place.played, at)
