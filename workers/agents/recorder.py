"""Records the calls of another agent: one stereo WAV per call, the caller left, the agent right.

Time is true across gaps, clears and a new owner, who goes on in the same file. The file is valid
while the call runs and after a crash; its name is our own id of the call. Where it cannot be
written, the call goes on and the log says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from common.commands import Command, PlayAudio
from common.errors import UsageError
from common.events import CallEnded, DtmfReceived, MarkReached, ProviderFailed
from common.settings import load
from workers.agent import Agent
from workers.agent_loader import load_agent
from workers.audio.sound import HeardAudio
from workers.call import Call
from workers.voice.recording import Issued, Place, Recording
from workers.voice.speech import SpeechStarted, SpeechStopped
from workers.voice.stereo_wav import StereoWav

__all__ = ["AGENT", "OPTIONS", "PREFIX", "Recorder", "recorder_of"]

_log = logging.getLogger(__name__)

_NAME = "recorder"
_CALLER = "inbound"

#: Longer commands than that are decoded in a thread.
_SHORT_BYTES = 4000

EventT = TypeVar("EventT")


class RecorderOptions(msgspec.Struct, frozen=True):
    agent: Annotated[str, Meta(min_length=1, description="whose calls are recorded")] = "echo"
    dir: Annotated[str, Meta(min_length=1, description="where the recordings go")] = "recordings"


OPTIONS = RecorderOptions
PREFIX = "TRUNKLINE_RECORDER_"


class Recorder(Agent):
    """Made for an agent by `recorder_of`."""

    inner: ClassVar[type[Agent]]
    directory: ClassVar[Path]

    @classmethod
    def prepare(cls) -> None:
        try:
            cls.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{_NAME}: {cls.directory}: {error.strerror}") from None
        if not os.access(cls.directory, os.W_OK):
            raise UsageError(f"{_NAME}: {cls.directory}: no files can be written there")
        cls.inner.prepare()

    def __init__(self) -> None:
        self._agent = self.inner()
        self._seen: Call | None = None
        self._recording: Recording | None = None
        self._issued: list[Issued] = []
        self._has_failed = False

    async def on_start(self, call: Call) -> None:
        await self._agent.on_start(self._call(call))
        await self._settle(call)

    async def on_resumed(self, call: Call) -> None:
        await self._agent.on_resumed(self._call(call))
        await self._settle(call)

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        if audio.track == _CALLER:
            self._write(call, lambda recording: recording.heard(audio))
        if audio.track in self._agent.tracks:
            await self._pass(call, self._agent.on_audio, audio)

    async def on_speech_started(self, call: Call, speech: SpeechStarted) -> None:
        await self._pass(call, self._agent.on_speech_started, speech)

    async def on_speech_stopped(self, call: Call, speech: SpeechStopped) -> None:
        await self._pass(call, self._agent.on_speech_stopped, speech)

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        await self._pass(call, self._agent.on_dtmf, dtmf)

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        await self._pass(call, self._agent.on_mark, mark)

    async def on_error(self, call: Call, error: ProviderFailed) -> None:
        await self._pass(call, self._agent.on_error, error)

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        await self._pass(call, self._agent.on_stop, stop)
        self._write(call, lambda recording: recording.close())

    async def _pass(
        self, call: Call, handler: Callable[[Call, EventT], Awaitable[None]], event: EventT
    ) -> None:
        await handler(self._call(call), event)
        await self._settle(call)

    def _call(self, call: Call) -> Call:
        """The call as the recorded agent sees it."""
        if self._seen is None:
            self._seen = call.watched(lambda command: self._note(call, command), call.state.inner)
        return self._seen

    def _note(self, call: Call, command: Command) -> None:
        self._issued.append(Issued(command, call.state.place.heard))

    async def _settle(self, call: Call) -> None:
        """Take down what the agent has done, and what it remembers."""
        call.state.inner = self._call(call).state
        issued, self._issued = self._issued, []
        if not issued:
            return
        size = sum(len(i.command.payload) for i in issued if isinstance(i.command, PlayAudio))
        if size > _SHORT_BYTES:
            await call.offload(self._write, call, lambda recording: recording.issued(issued))
        else:
            self._write(call, lambda recording: recording.issued(issued))

    def _write(self, call: Call, write: Callable[[Recording], None]) -> None:
        if self._has_failed:
            return
        try:
            if self._recording is None:
                self._recording = self._open(call)
            write(self._recording)
        except OSError as error:
            self._has_failed = True
            _log.error("call is not recorded any more: %s", error, extra={"call": call.id})

    def _open(self, call: Call) -> Recording:
        rate_hz = max(call.format.rate_hz, call.play_format.rate_hz)
        file = StereoWav(self.directory / f"{call.id}.wav", rate_hz)
        return Recording(file, rate_hz, call.play_format, call.state.place)


def recorder_of(inner: type[Agent], directory: Path) -> type[Recorder]:
    """A recorder of this agent's calls, which hears and remembers what that agent does."""
    memory: Any = (
        ("inner", None, None)
        if inner.State is None
        else ("inner", inner.State, msgspec.field(default_factory=inner.State))
    )
    place: Any = ("place", Place, msgspec.field(default_factory=Place))
    return type(
        "Recorder",
        (Recorder,),
        {
            "inner": inner,
            "directory": directory,
            "listen": inner.listen,
            "tracks": inner.tracks | {_CALLER},
            "detect_dtmf": inner.detect_dtmf,
            "needs_encoder": inner.needs_encoder,
            "speech": inner.speech,
            "State": msgspec.defstruct("State", [place, memory]),
        },
    )


def _configured() -> type[Recorder]:
    options = load(OPTIONS, os.environ, prefix=PREFIX)
    if options.agent == _NAME:
        raise UsageError(f"{_NAME}: TRUNKLINE_RECORDER_AGENT: it records another agent, not itself")
    return recorder_of(load_agent(options.agent), Path(options.dir))


AGENT = _configured()
