"""What an agent sees of its call: a few verbs, a few facts.

What a verb asks for reaches the edge with the call's next commit, in order. Verbs return at once,
but for `play` of a file or a long sound, which waits for a thread to have encoded it, and leaves in
parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from pathlib import Path
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
from workers.audio.dtmf_tones import dtmf_tones
from workers.audio.sound import HeardAudio, Sound, as_pcm
from workers.voice.prompts import Prompts
from workers.voice.speaking import Speaking

__all__ = ["Call", "CallRuntime", "Playable"]

P = ParamSpec("P")
ResultT = TypeVar("ResultT")
AudioT = TypeVar("AudioT")

#: Bytes are taken to be in the call's play format, a text or a path to name a file.
Playable = Sound | HeardAudio | bytes | NDArray[np.int16] | NDArray[np.float32] | str | Path

#: A sound that lasts longer is encoded in a thread: a second of Opus takes some ms.
_SHORT_MS = 200

#: Ten minutes of packets are 30,000 commands. So many leave at a time, and then the other calls
#: have their turn, here, in Redis and at the edge.
_AT_ONCE = 100
_BREATH_S = 0.005

#: How long a key is pressed unless told otherwise.
_KEY_MS = 100

_PROMPTS = Prompts(max_bytes=64 * 1024 * 1024)


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
        self,
        call_id: str,
        started: CallStarted,
        runtime: CallRuntime,
        state: Any,
        speaking: Speaking | None = None,
    ) -> None:
        self._runtime = runtime
        self._started = started
        self._speaking = speaking or Speaking(self.play_format)
        self._clears = 0
        self._turn = asyncio.Lock()  # of one long sound after another
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

    async def play(self, audio: Playable, *, rate_hz: int | None = None) -> None:
        """Queue audio behind what is queued already.

        A `Sound`, or a file (WAV, MP3, FLAC or OGG, by its path), is played to its end. Arrays,
        int16 or float32 in [-1, 1], are a stream at `rate_hz` (None: that of the agent's `listen`,
        else of the play format): the end of one waits for the next, or for any other verb. They
        are encoded at once; make a `Sound` of what is long. Bytes are taken to be encoded in the
        play format: one packet, where it has packets. Raises AgentError when the provider cannot
        be given it.
        """
        match audio:
            case HeardAudio() if audio.format == self.play_format and not audio.is_concealed:
                self._emit(self._speaking.passed(audio.payload))
            case HeardAudio():
                self._emit(self._speaking.stream(audio.pcm, audio.rate_hz))
            case Sound():
                await self._play_sound(audio)
            case str() | Path():
                await self._play_later(self._file, audio)
            case bytes():
                self._emit(self._speaking.encoded(audio))
            case _:
                self._emit(self._speaking.stream(as_pcm(audio), rate_hz))

    async def mark(self, name: str) -> None:
        """Have `on_mark` called when what is queued now was heard, or will not be any more."""
        if not name or len(name) > 128:
            raise AgentError("a mark's name has 1 to 128 characters")
        self._emit([*self._speaking.flush(), SetMark(name)])

    async def clear(self) -> None:
        """Silence: drop everything queued, here and at the provider."""
        self._clears += 1
        self._speaking.drop()
        self._runtime.emit(ClearPlayback())

    async def send_dtmf(self, digits: str, *, duration_ms: int = 0) -> None:
        """Press keys towards the caller's side, behind what is queued: by the provider's own
        message, or as tones where it has none. 0 ms: the usual length."""
        if not digits or not DIGITS.issuperset(digits):
            raise AgentError("digits are 0-9 * # A-D")
        if self._started.sends_dtmf:
            self._emit([*self._speaking.flush(), SendDtmf(digits, duration_ms)])
            return
        rate_hz = self.play_format.rate_hz
        tones = dtmf_tones(digits, rate_hz, on_ms=duration_ms or _KEY_MS)
        await self._play_sound(Sound(tones, rate_hz))

    async def hang_up(self, detail: str = "") -> None:
        """End the call once everything queued was heard."""
        self._emit([*self._speaking.flush(), HangUp(detail=detail)])

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

    def watched(self, watch: Callable[[Command], None], state: Any) -> Call:
        """The same call for another agent, one that this agent wraps: with a state of its own;
        `watch` is told each command before it leaves."""
        runtime = _Watched(self._runtime, watch)
        return Call(self.id, self._started, runtime, state, self._speaking)

    def _emit(self, commands: Iterable[Command]) -> None:
        for command in commands:
            self._runtime.emit(command)

    async def _play_sound(self, sound: Sound) -> None:
        if sound.duration_ms > _SHORT_MS:
            await self._play_later(self._speaking.whole, sound)
        else:
            self._emit([*self._speaking.flush(), *self._speaking.whole(sound)])

    async def _play_later(self, encode: Callable[[AudioT], list[PlayAudio]], audio: AudioT) -> None:
        self._emit(self._speaking.flush())
        clears = self._clears
        commands = await self.offload(encode, audio)
        async with self._turn:
            for start in range(0, len(commands), _AT_ONCE):
                if start:
                    await asyncio.sleep(_BREATH_S)
                if clears != self._clears:  # spawned work has silenced it meanwhile
                    return
                self._emit(commands[start : start + _AT_ONCE])

    def _file(self, path: str | Path) -> list[PlayAudio]:
        return self._speaking.whole(_PROMPTS.sound(path))


class _Watched:
    """A runtime that somebody looks at."""

    def __init__(self, runtime: CallRuntime, watch: Callable[[Command], None]) -> None:
        self._runtime = runtime
        self._watch = watch

    def emit(self, command: Command) -> None:
        self._watch(command)
        self._runtime.emit(command)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._runtime.spawn(coroutine)

    @property
    def executor(self) -> Executor:
        return self._runtime.executor

    @property
    def lag_ms(self) -> int:
        return self._runtime.lag_ms
