from __future__ import annotations

from pathlib import Path

import numpy as np

from common.audio import AudioFormat
from common.commands import Answer, ClearPlayback, Command, PlayAudio, SetMark
from common.events import AudioReceived, CallStarted, Event, MarkOutcome, MarkReached
from tests.workers.calls import FakeRuntime
from workers.agents.parrot import AGENT, Parrot
from workers.audio.codec import Pcm
from workers.audio.files import load_sound
from workers.running.scene import Scene

L16 = AudioFormat.pcm(16_000)
STARTED = CallStarted("wavix", L16)
SPEECH = load_sound(Path(__file__).parents[2] / "fixtures" / "speech.wav").pcm.repeat(2)
SILENCE = np.zeros(16_000, np.int16)
FRAME = 320


class Conversation:
    """A parrot, and what the caller says to it, 20 ms at a time."""

    def __init__(self, stored: bytes = b"", *, frames: int = 0) -> None:
        self.runtime = FakeRuntime()
        self.scene = Scene(Parrot, "c1", STARTED, self.runtime, stored)
        self.frames = frames

    async def say(self, *parts: Pcm) -> list[Command]:
        pcm = np.concatenate(parts)
        for start in range(0, len(pcm) - FRAME + 1, FRAME):
            payload = pcm[start : start + FRAME].tobytes()
            await self.scene.handle(AudioReceived(payload, 20 * self.frames, self.frames + 1))
            self.frames += 1
        return self.commands()

    async def happen(self, event: Event) -> list[Command]:
        await self.scene.handle(event)
        return self.commands()

    def commands(self) -> list[Command]:
        commands, self.runtime.commands = self.runtime.commands, []
        return commands


def played(commands: list[Command]) -> Pcm:
    payload = b"".join(each.payload for each in commands if isinstance(each, PlayAudio))
    return np.frombuffer(payload, "<i2")


def contains(heard: Pcm, said: Pcm) -> bool:
    """Whether all of it is in there, sample by sample, somewhere."""
    size = len(heard) + len(said)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)[: len(heard)]))
    return bool(np.array_equal(heard[at : at + len(said)], said))


async def test_it_answers() -> None:
    assert AGENT is Parrot
    assert await Conversation().happen(STARTED) == [Answer()]


async def test_it_says_back_the_whole_utterance_once_the_caller_is_silent() -> None:
    conversation = Conversation()
    assert await conversation.say(SILENCE, SPEECH) == []
    *audio, mark = await conversation.say(SILENCE)
    assert mark == SetMark("utterance-1")
    heard = played(audio)
    assert contains(heard, SPEECH[3200:-3200])
    assert len(heard) < len(SPEECH) + 0.6 * 16_000


async def test_each_utterance_by_itself() -> None:
    conversation = Conversation()
    for number in (1, 2):
        *audio, mark = await conversation.say(SILENCE, SPEECH, SILENCE)
        assert mark == SetMark(f"utterance-{number}")
        assert contains(played(audio), SPEECH[3200:-3200])
        await conversation.happen(MarkReached(f"utterance-{number}"))


async def test_it_falls_silent_at_once_when_it_is_interrupted() -> None:
    conversation = Conversation()
    await conversation.say(SILENCE, SPEECH, SILENCE)
    frames = conversation.frames
    said = SPEECH[1600:]
    for start in range(0, len(said), FRAME):
        if (commands := await conversation.say(said[start : start + FRAME])) == [ClearPlayback()]:
            break
        assert commands == []
    assert (conversation.frames - frames) * 20 <= 200
    await conversation.happen(MarkReached("utterance-1", MarkOutcome.CLEARED, 340))
    assert conversation.scene.call.state.heard_ms == 340
    *audio, mark = await conversation.say(SPEECH, SILENCE)
    assert mark == SetMark("utterance-2")
    assert contains(played(audio), SPEECH)


async def test_it_clears_nothing_when_nothing_is_playing() -> None:
    conversation = Conversation()
    await conversation.say(SILENCE, SPEECH, SILENCE)
    await conversation.happen(MarkReached("utterance-1"))
    assert ClearPlayback() not in await conversation.say(SPEECH)


async def test_it_remembers_half_a_minute() -> None:
    conversation = Conversation()
    *audio, _ = await conversation.say(SILENCE, *[SPEECH] * 10, SILENCE)
    assert 29 * 16_000 < len(played(audio)) < 31 * 16_000


async def test_the_next_owner_says_back_what_it_has_heard_itself() -> None:
    before = Conversation()
    await before.say(SILENCE, SPEECH[:16_000])
    stored = before.scene.state()
    assert stored is not None
    after = Conversation(stored, frames=before.frames)
    *audio, mark = await after.say(SPEECH[16_000:], SILENCE)
    assert mark == SetMark("utterance-1")
    assert contains(played(audio), SPEECH[16_000:-3200])
    assert len(played(audio)) < len(SPEECH)


async def test_its_state_stays_small() -> None:
    conversation = Conversation()
    await conversation.say(SILENCE, SPEECH)
    assert len(conversation.scene.state() or b"") < 100
