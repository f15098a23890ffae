"""What an agent sees of its call: a few verbs, a few facts.

Verbs return at once; what they ask for reaches the edge with the call's next commit, in order. An
await on them exists so that a later version may hold an agent back that queues without end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.audio import AudioFormat
from common.commands import (
    Answer,
    ClearPlayback,
    Command,
    HangUp,
    PlayAudio,
    SendDtmf,
    SetMark,
)
from common.errors import AgentError
from common.events import DIGITS, CallStarted, Metadata
from workers.audio import codecs
from workers.sound import HeardAudio, Sound

__all__ = ["Call", "CallRuntime", "Playable"]

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

#: Bytes are taken to be in the call's play format, arrays to be at its rate.
Playable = Sound | HeardAudio | bytes | NDArray[np.int16] | NDArray[np.float32]

_MAX_COMMAND_MS = 1000


class CallRuntime(Protocol):
    """What a call needs of whoever runs it."""

    def emit(self, command: Command) -> None: ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...

    @property
    def executor(self) -> Executor: ...

    @property
    def lag_ms(self) -> int: ...


class Call:
    def __init__(
        self, call_id: str, started: CallStarted, runtime: CallRuntime, state: Any
    ) -> None:
        self._runtime = runtime
        self._started = started
        self.id = call_id
        #: The agent's `State`, kept when the worker dies; None when the agent declares none.
        self.state: Any = state

    @property
    def provider(self) -> str:
        return self._started.provider

    @property
    def provider_call_id(self) -> str:
        """The provider's own name for the call, for instance Twilio's `callSid`."""
        return self._started.provider_call_id

    @property
    def format(self) -> AudioFormat:
        """What the caller's audio arrives in."""
        return self._started.format

    @property
    def play_format(self) -> AudioFormat:
        """What the provider wants back."""
        return self._started.play_format or self._started.format

    @property
    def metadata(self) -> Metadata:
        """What the provider told when the call started, under its own names."""
        return self._started.metadata

    @property
    def lag_ms(self) -> int:
        """How old the event being handled is, from the edge's clock to this worker's."""
        return self._runtime.lag_ms

    async def answer(self) -> None:
        """Take the call, where the provider leaves that to us."""
        self._runtime.emit(Answer())

    async def play(self, audio: Playable) -> None:
        """Queue audio behind what is queued already. Raises AgentError when the provider cannot
        be given it."""
        payload = self._encoded(audio)
        step = len(payload)
        if self.play_format.is_sliceable:
            step = self.play_format.bytes_for(self.play_format.samples_for_ms(_MAX_COMMAND_MS))
        for start in range(0, len(payload), step or 1):
            self._runtime.emit(PlayAudio(payload[start : start + step]))

    async def mark(self, name: str) -> None:
        """Have `on_mark` called when what is queued now was heard, or will not be any more."""
        if not name or len(name) > 128:
            raise AgentError("a mark's name has 1 to 128 characters")
        self._runtime.emit(SetMark(name))

    async def clear(self) -> None:
        """Silence: drop everything queued, here and at the provider."""
        self._runtime.emit(ClearPlayback())

    async def send_dtmf(self, digits: str, *, duration_ms: int = 0) -> None:
        """Press keys towards the caller's side; 0 ms: the provider's usual length."""
        if not digits or not DIGITS.issuperset(digits):
            raise AgentError("digits are 0-9 * # A-D")
        self._runtime.emit(SendDtmf(digits, duration_ms))

    async def hang_up(self, detail: str = "") -> None:
        """End the call once everything queued was heard."""
        self._runtime.emit(HangUp(detail=detail))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside the handlers, until done or the call is over. Not durable: when the worker
        dies, nobody takes this work up again."""
        return self._runtime.spawn(coroutine)

    async def offload(
        self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs
    ) -> ResultT:
        """Run a blocking function in a thread, so that other calls go on meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._runtime.executor, lambda: function(*args, **kwargs))

    def _encoded(self, audio: Playable) -> bytes:
        target = self.play_format
        match audio:
            case bytes():
                return audio
            case HeardAudio() if audio.format == target:
                return audio.payload
            case HeardAudio():
                return self._encode(audio.pcm, audio.format.rate_hz)
            case Sound():
                return self._encode(audio.pcm, audio.rate_hz)
            case _:
                return self._encode(_int16(audio), target.rate_hz)

    def _encode(self, pcm: codecs.Pcm, rate_hz: int) -> bytes:
        if rate_hz != self.play_format.rate_hz:
            raise AgentError(f"cannot play {rate_hz} Hz audio on a call at {self.play_format}")
        return codecs.encode(pcm, self.play_format)


def _int16(samples: NDArray[Any]) -> codecs.Pcm:
    if samples.dtype == np.int16:
        return samples
    if samples.dtype == np.float32:
        scaled: codecs.Pcm = (np.clip(samples, -1.0, 1.0) * 32_767).astype(np.int16)
        return scaled
    raise AgentError(f"cannot play {samples.dtype} samples; int16 or float32 are needed")
