"""Says back what the caller said, utterance by utterance, and stops at once when interrupted: the
smallest example of barge-in.

An utterance may last half a minute. One that is being spoken while its worker dies is said back
from where the next worker began to listen: half a minute of samples is too much for a `State`.
"""

from __future__ import annotations

import logging
from collections import deque

import msgspec
import numpy as np

from common.audio import AudioFormat
from common.events import MarkReached
from workers.agent import Agent
from workers.audio.sound import HeardAudio, Sound
from workers.call import Call
from workers.voice.speech import SpeechSettings, SpeechStarted, SpeechStopped

__all__ = ["AGENT", "Parrot"]

_log = logging.getLogger(__name__)

_RATE_HZ = 16_000
_LONGEST_S = 30
#: Kept around the speech that was noticed: words begin and end softly.
_MARGIN_MS = 200


class Parrot(Agent):
    listen = AudioFormat.pcm(_RATE_HZ)
    speech = SpeechSettings(hangover_ms=600)

    class State(msgspec.Struct):
        is_listening: bool = False
        is_playing: bool = False
        utterances: int = 0
        #: Of the utterance played last, as far as the caller let it be.
        heard_ms: int = 0

    def __init__(self) -> None:
        self._heard: deque[HeardAudio] = deque()
        self._samples = 0

    async def on_start(self, call: Call) -> None:
        await call.answer()

    async def on_speech_started(self, call: Call, speech: SpeechStarted) -> None:
        if call.state.is_playing:
            await call.clear()  # the mark comes back as cleared, and tells how much was heard
        call.state.is_listening = True
        self._forget(before_ms=speech.offset_ms - _MARGIN_MS)

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        if call.state.is_listening and self._samples >= _LONGEST_S * _RATE_HZ:
            return
        self._heard.append(audio)
        self._samples += len(audio.pcm)
        if not call.state.is_listening:
            self._forget(before_ms=audio.offset_ms - 2 * _MARGIN_MS)

    async def on_speech_stopped(self, call: Call, speech: SpeechStopped) -> None:
        ends_ms = speech.offset_ms + _MARGIN_MS
        spoken = [audio.pcm for audio in self._heard if audio.offset_ms < ends_ms]
        self._heard.clear()
        self._samples = 0
        call.state.is_listening = False
        if spoken:
            call.state.utterances += 1
            call.state.is_playing = True
            await call.play(Sound(np.concatenate(spoken), _RATE_HZ))
            await call.mark(f"utterance-{call.state.utterances}")

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        call.state.heard_ms = mark.heard_ms
        if mark.name == f"utterance-{call.state.utterances}":
            call.state.is_playing = False
        _log.info(
            "said back",
            extra={"call": call.id, "mark": mark.name, "heard_ms": mark.heard_ms}
            | {"outcome": mark.outcome.value},
        )

    def _forget(self, *, before_ms: int) -> None:
        while self._heard and self._heard[0].offset_ms < before_ms:
            self._samples -= len(self._heard.popleft().pcm)


AGENT = Parrot
