from __future__ import annotations

import asyncio
import logging
import wave
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from common.audio import AudioFormat
from common.commands import Answer, ClearPlayback, Command, PlayAudio
from common.errors import UsageError
from common.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    DtmfReceived,
    EndReason,
    Event,
    MarkReached,
    ProviderFailed,
)
from tests.workers.calls import ENDED, FakeRuntime
from workers.agent import Agent
from workers.agents import recorder
from workers.agents.echo import Echo
from workers.agents.recorder import AGENT, Recorder, recorder_of
from workers.audio.sound import HeardAudio, Sound
from workers.call import Call
from workers.running.scene import Scene
from workers.voice.speech import SpeechSettings, SpeechStarted, SpeechStopped

L16 = AudioFormat.pcm(8000)
STARTED = CallStarted("wavix", L16)
FRAME = 160


def level(value: int, frames: int = 1) -> bytes:
    return np.full(frames * FRAME, value, np.int16).tobytes()


class Line:
    """A recorded call: what happens on it, and what is in the file."""

    def __init__(
        self,
        directory: Path,
        inner: type[Agent] = Echo,
        *,
        stored: bytes = b"",
        frames: int = 0,
        started: CallStarted = STARTED,
    ) -> None:
        self.runtime = FakeRuntime()
        self.scene = Scene(recorder_of(inner, directory), "c1", started, self.runtime, stored)
        self._path = directory / "c1.wav"
        self.frames = frames

    async def happen(self, *events: Event) -> list[Command]:
        for event in events:
            await self.scene.handle(event)
        commands, self.runtime.commands = self.runtime.commands, []
        return commands

    async def say(self, *values: int, lost: int = 0) -> list[Command]:
        commands = []
        for value in values:
            self.frames += 1 + lost
            event = AudioReceived(level(value), 20 * (self.frames - 1), self.frames, lost)
            commands += await self.happen(event)
        return commands

    def recorded(self) -> NDArray[np.int16]:
        """The value of each frame, shape (2, frames)."""
        with wave.open(str(self._path), "rb") as file:
            data = file.readframes(file.getnframes())
        samples = np.frombuffer(data, "<i2").reshape(-1, 2)
        frames = samples.reshape(-1, FRAME, 2)
        assert (frames == frames[:, :1]).all()
        return frames[:, 0].T


def test_by_default_it_records_echo() -> None:
    assert issubclass(AGENT, Recorder)
    assert AGENT.inner is Echo
    assert AGENT.directory == Path("recordings")


async def test_the_agent_s_commands_leave_and_are_recorded(tmp_path: Path) -> None:
    line = Line(tmp_path)
    assert await line.happen(STARTED) == [Answer()]
    assert await line.say(1, 2, 3) == [PlayAudio(level(value)) for value in (1, 2, 3)]
    await line.happen(ENDED)
    assert line.recorded().tolist() == [[1, 2, 3], [0, 1, 2]]


async def test_time_is_true_across_gaps_and_clears(tmp_path: Path) -> None:
    line = Line(tmp_path)
    await line.happen(STARTED)
    await line.say(1)
    await line.say(2, lost=2)
    assert await line.happen(DtmfReceived("*")) == [ClearPlayback()]
    await line.say(3, 4)
    await line.happen(ENDED)
    assert line.recorded().tolist() == [[1, 0, 0, 2, 3, 4], [0, 1, 0, 0, 0, 3]]


async def test_the_next_owner_goes_on_where_the_one_before_stopped(tmp_path: Path) -> None:
    before = Line(tmp_path)
    await before.happen(STARTED)
    await before.say(1, 2)
    stored = before.scene.state()
    assert stored is not None
    await before.say(3)  # handled, but its commit was never made
    after = Line(tmp_path, stored=stored, frames=2)
    await after.scene.resume()
    await after.say(3, 4)
    await after.happen(ENDED)
    assert after.recorded().tolist() == [[1, 2, 3, 4], [0, 1, 2, 3]]
    assert after.scene.call.state.inner.frames == 4


async def test_it_is_valid_without_an_end(tmp_path: Path) -> None:
    line = Line(tmp_path)
    await line.happen(STARTED)
    await line.say(*range(1, 101))
    assert line.recorded().shape[1] >= 50


class Everything(Agent):
    """Tells what it was told."""

    detect_dtmf = True
    speech = SpeechSettings()

    class State(msgspec.Struct):
        seen: list[str] = []

    prepared = 0

    @classmethod
    def prepare(cls) -> None:
        cls.prepared += 1

    async def on_start(self, call: Call) -> None:
        call.state.seen.append(f"start {call.id}")

    async def on_resumed(self, call: Call) -> None:
        call.state.seen.append("resumed")

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        call.state.seen.append(f"audio {audio.track}")

    async def on_speech_started(self, call: Call, speech: SpeechStarted) -> None:
        call.state.seen.append("speech")

    async def on_speech_stopped(self, call: Call, speech: SpeechStopped) -> None:
        call.state.seen.append("silence")

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        call.state.seen.append(f"dtmf {dtmf.digit}")

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        call.state.seen.append(f"mark {mark.name}")

    async def on_error(self, call: Call, error: ProviderFailed) -> None:
        call.state.seen.append(f"error {error.code}")

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        call.state.seen.append(f"stop {stop.reason}")


async def test_the_agent_is_told_everything(tmp_path: Path) -> None:
    line = Line(tmp_path, Everything)
    agent, call = line.scene.agent, line.scene.call
    await line.happen(STARTED)
    await line.scene.resume()
    await line.say(1)
    await line.happen(DtmfReceived("5"), MarkReached("m"), ProviderFailed("e"))
    await agent.on_speech_started(call, SpeechStarted(0))
    await agent.on_speech_stopped(call, SpeechStopped(9))
    await line.happen(CallEnded(EndReason.CALLER_HUNG_UP))
    assert call.state.inner.seen == [
        *("start c1", "resumed", "audio inbound", "dtmf 5", "mark m", "error e"),
        *("speech", "silence", "stop caller_hung_up"),
    ]


def test_it_hears_and_remembers_what_its_agent_does(tmp_path: Path) -> None:
    recording = recorder_of(Everything, tmp_path / "new" / "one")
    assert (recording.detect_dtmf, recording.speech) == (True, Everything.speech)
    recording.prepare()
    assert (tmp_path / "new" / "one").is_dir()
    assert Everything.prepared == 1

    class Listener(Agent):
        listen = AudioFormat.pcm(16_000)
        tracks = frozenset({"outbound"})

    recording = recorder_of(Listener, tmp_path)
    assert recording.listen == Listener.listen
    assert recording.needs_encoder
    assert not recorder_of(Echo, tmp_path).needs_encoder
    assert recording.tracks == {"inbound", "outbound"}


async def test_the_agent_hears_its_own_tracks_only_and_the_file_the_caller_s(
    tmp_path: Path,
) -> None:
    class Eavesdropper(Everything):
        tracks = frozenset({"outbound"})

    line = Line(tmp_path, Eavesdropper)
    await line.say(1)
    await line.happen(AudioReceived(level(9), 0, 1, track="outbound"), ENDED)
    assert line.scene.call.state.inner.seen == ["audio outbound", "stop caller_hung_up"]
    assert line.recorded().tolist() == [[1], [0]]


async def test_an_agent_without_a_state_has_none(tmp_path: Path) -> None:
    class Plain(Agent):
        async def on_start(self, call: Call) -> None:
            assert call.state is None
            await call.play(Sound(np.full(5 * FRAME, 7, np.int16), 8000))

    line = Line(tmp_path, Plain)
    await line.happen(STARTED)
    stored = line.scene.state()
    assert stored is not None
    after = Line(tmp_path, Plain, stored=stored)
    await after.say(1, 2, 3)
    await after.happen(ENDED)
    assert after.recorded().tolist() == [[1, 2, 3], [7, 7, 7]]


async def test_what_spawned_work_plays_is_recorded_too(tmp_path: Path) -> None:
    class Late(Agent):
        async def on_start(self, call: Call) -> None:
            call.spawn(call.play(np.full(FRAME, 7, np.int16)))

    line = Line(tmp_path, Late)
    await line.happen(STARTED)
    await line.say(1)
    await asyncio.sleep(0)
    await line.say(2, 3)
    await line.happen(ENDED)
    left, right = line.recorded().tolist()
    assert left == [1, 2, 3]
    assert right.count(7) == 1


async def test_where_nothing_can_be_written_the_call_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line(tmp_path / "nowhere")
    await line.happen(STARTED)
    assert await line.say(1, 2) == [PlayAudio(level(1)), PlayAudio(level(2))]
    await line.happen(ENDED)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "call is not recorded any more" in errors[0].getMessage()


def test_a_directory_that_cannot_be_had_is_said_before_the_first_call(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"recorder: .*/file: "):
        recorder_of(Echo, tmp_path / "file").prepare()


def test_it_does_not_record_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_RECORDER_AGENT", "recorder")
    with pytest.raises(UsageError, match="it records another agent, not itself"):
        recorder._configured()


def test_the_agent_and_the_directory_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_RECORDER_AGENT", f"{__name__}:Everything")
    monkeypatch.setenv("TRUNKLINE_RECORDER_DIR", "/var/tape")
    chosen = recorder._configured()
    assert (chosen.inner.__name__, chosen.directory) == ("Everything", Path("/var/tape"))
    monkeypatch.setenv("TRUNKLINE_RECORDER_AGENT", "nobody")
    with pytest.raises(UsageError, match="unknown agent 'nobody'"):
        recorder._configured()
