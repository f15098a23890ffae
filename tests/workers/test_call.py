from __future__ import annotations

import asyncio
import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.audio import AudioFormat, Encoding
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
from common.events import AudioReceived, CallStarted
from tests.workers.calls import FakeRuntime, call_on
from workers.audio import codecs
from workers.audio.codec import Pcm
from workers.audio.dtmf_detector import DtmfDetector
from workers.audio.dtmf_tones import dtmf_tones
from workers.audio.sound import Decoded, HeardAudio, Sound
from workers.call import Call, Playable
from workers.voice.late_decoder import LateDecoder
from workers.voice.speaking import Speaking

PCMU = AudioFormat.pcmu()
PCMA = AudioFormat(Encoding.PCMA, 8000)
L16 = AudioFormat.pcm(8000)
OPUS = AudioFormat(Encoding.OPUS, 48_000)
STARTED = CallStarted("twilio", PCMU)
RAMP = np.arange(-8000, 8000, 100, dtype=np.int16)  # 160 samples: 20 ms


def tone(hz: float, rate_hz: int) -> Pcm:
    """A second of it."""
    samples = 8000 * np.sin(2 * np.pi * hz * np.arange(rate_hz) / rate_hz)
    pcm: Pcm = np.rint(samples).astype(np.int16)
    return pcm


def likeness(heard: Pcm, expected: Pcm) -> float:
    """Correlation, beginning and end of the filters left out."""
    middle = slice(400, min(len(heard), len(expected)) - 400)
    return float(np.corrcoef(heard[middle], expected[middle])[0, 1])


def of(runtime: FakeRuntime) -> Pcm:
    """What is played, decoded from mu-law."""
    played = [each.payload for each in runtime.commands if isinstance(each, PlayAudio)]
    return codecs.decode(b"".join(played), PCMU)


def lasting(command: Command) -> int:
    return command.samples if isinstance(command, PlayAudio) else 0


def heard(payload: bytes, audio_format: AudioFormat = PCMU) -> HeardAudio:
    return HeardAudio(AudioReceived(payload, 0, 1), audio_format, LateDecoder(audio_format))


async def played(
    audio: Playable, play_format: AudioFormat | None = None, *, heard: AudioFormat = PCMU
) -> list[bytes]:
    call, runtime = call_on(play_format, heard=heard)
    await call.play(audio)
    commands = [command for command in runtime.commands if isinstance(command, PlayAudio)]
    assert commands == runtime.commands
    return [command.payload for command in commands]


def test_what_a_call_knows() -> None:
    call, _ = call_on()
    assert (call.id, call.provider, call.provider_call_id) == ("c1", "twilio", "CA1")
    assert call.metadata == {"tracks": ["inbound"]}
    assert call.format == call.play_format == PCMU
    assert call.lag_ms == 7
    assert call.state is None


def test_the_play_format_is_the_provider_s_own_where_it_has_one() -> None:
    call, _ = call_on(L16)
    assert (call.format, call.play_format) == (PCMU, L16)


@pytest.mark.parametrize(
    ("verb", "arguments", "command"),
    [
        ("answer", (), Answer()),
        ("mark", ("m",), SetMark("m")),
        ("mark", ("m" * 128,), SetMark("m" * 128)),
        ("clear", (), ClearPlayback()),
        ("hang_up", (), HangUp()),
        ("hang_up", ("bye",), HangUp(detail="bye")),
    ],
)
async def test_a_verb_is_a_command(verb: str, arguments: tuple[Any, ...], command: Command) -> None:
    call, runtime = call_on()
    await getattr(call, verb)(*arguments)
    assert runtime.commands == [command]


def call_of(started: CallStarted) -> tuple[Call, FakeRuntime]:
    runtime = FakeRuntime()
    return Call("c1", started, runtime, None), runtime


async def test_keys_are_pressed_by_message_where_there_is_one() -> None:
    call, runtime = call_of(CallStarted("sunvone", PCMU, sends_dtmf=True))
    await call.send_dtmf("12*#AD")
    await call.send_dtmf("1", duration_ms=300)
    assert runtime.commands == [SendDtmf("12*#AD"), SendDtmf("1", 300)]


@pytest.mark.parametrize(("duration_ms", "on_ms"), [(0, 100), (60, 60)])
async def test_elsewhere_keys_are_tones_in_their_place(duration_ms: int, on_ms: int) -> None:
    call, runtime = call_on()
    await call.play(RAMP)
    await call.send_dtmf("12#", duration_ms=duration_ms)
    await call.mark("pressed")
    first, *pressed, mark = runtime.commands
    assert first == PlayAudio(codecs.encode(RAMP, PCMU))
    assert mark == SetMark("pressed")
    payload = b"".join(each.payload for each in pressed if isinstance(each, PlayAudio))
    tones = dtmf_tones("12#", 8000, on_ms=on_ms)
    assert payload == codecs.encode(tones, PCMU)
    assert DtmfDetector(8000).process(codecs.decode(payload, PCMU)) == ["1", "2", "#"]


@pytest.mark.parametrize("name", ["", "m" * 129])
async def test_a_mark_needs_a_name_of_sensible_length(name: str) -> None:
    await refused(lambda call: call.mark(name), "a mark's name has 1 to 128 characters")


@pytest.mark.parametrize("digits", ["", "12x", "1 2", "a", "+"])
async def test_keys_that_no_telephone_has_are_refused(digits: str) -> None:
    await refused(lambda call: call.send_dtmf(digits), r"digits are 0-9 \* # A-D")


async def refused(verb: Any, text: str) -> None:
    call, runtime = call_on()
    with pytest.raises(AgentError, match=text):
        await verb(call)
    assert runtime.commands == []


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, L16, AudioFormat(Encoding.OPUS, 48_000)])
async def test_what_was_heard_passes_through_untouched(audio_format: AudioFormat) -> None:
    payload = bytes(range(160))
    assert await played(heard(payload, audio_format), heard=audio_format) == [payload]


async def test_what_was_heard_is_transcoded_where_the_provider_wants_another_encoding() -> None:
    payload = codecs.encode(RAMP, PCMA)
    (sent,) = await played(heard(payload, PCMA), PCMU, heard=PCMA)
    assert sent == codecs.encode(codecs.decode(payload, PCMA), PCMU)


async def test_bytes_are_taken_to_be_encoded_already() -> None:
    assert await played(b"anything") == [b"anything"]


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, L16])
async def test_a_sound_is_encoded(audio_format: AudioFormat) -> None:
    expected = [codecs.encode(RAMP, audio_format)]
    assert await played(Sound(RAMP, 8000), audio_format) == expected


async def test_int16_arrays_are_at_the_play_format_s_rate() -> None:
    assert await played(RAMP) == [codecs.encode(RAMP, PCMU)]


async def test_float32_arrays_are_scaled_and_clipped() -> None:
    samples = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 7.0, -7.0], dtype=np.float32)
    (payload,) = await played(samples, L16)
    most, least, half = 32_767, -32_768, 16_384
    assert codecs.decode(payload, L16).tolist() == [0, half, -half, most, least, most, least]


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint8])
async def test_other_arrays_are_refused(dtype: type[np.generic]) -> None:
    samples: Any = np.zeros(160, dtype=dtype)
    await refused(lambda call: call.play(samples), "int16 or float32 are needed")


async def test_arrays_may_say_their_rate() -> None:
    call, runtime = call_on()
    for start in range(0, 16_000, 320):
        await call.play(tone(440, 16_000)[start : start + 320], rate_hz=16_000)
    await call.mark("end")
    assert likeness(of(runtime), tone(440, 8000)) > 0.999


async def test_the_rate_an_agent_listens_at_is_that_of_its_arrays() -> None:
    runtime = FakeRuntime()
    speaking = Speaking(PCMU, rate_hz=16_000)
    call = Call("c1", CallStarted("twilio", PCMU), runtime, None, speaking)
    await call.play(tone(440, 16_000))
    await call.mark("end")
    assert likeness(of(runtime), tone(440, 8000)) > 0.999


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 44_100, 48_000])
async def test_a_sound_of_any_rate_is_played_to_its_end(rate_hz: int) -> None:
    call, runtime = call_on()
    await call.play(Sound(tone(440, rate_hz), rate_hz))
    assert len(of(runtime)) == 8000
    assert likeness(of(runtime), tone(440, 8000)) > 0.999


@pytest.mark.parametrize("rate_hz", [100, 1_000_000])
async def test_a_rate_that_is_none_is_refused(rate_hz: int) -> None:
    await refused(lambda call: call.play(RAMP, rate_hz=rate_hz), f"cannot play at {rate_hz} Hz")
    await refused(lambda call: call.play(Sound(RAMP, rate_hz)), f"cannot play at {rate_hz} Hz")


@pytest.mark.parametrize("audio", [Sound(RAMP, 8000), RAMP])
async def test_an_encoding_without_an_encoder_is_refused(audio: Playable) -> None:
    call, runtime = call_on(AudioFormat(Encoding.MP3, 44_100))
    with pytest.raises(AgentError, match="there is no encoder for MP3/44100"):
        await call.play(audio)
    assert runtime.commands == []


@pytest.mark.parametrize("as_path", [str, Path])
async def test_a_file_is_played(as_path: Callable[[Path], str | Path], tmp_path: Path) -> None:
    path = tmp_path / "prompt.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(tone(440, 16_000).tobytes())
    call, runtime = call_on()
    await call.play(as_path(path))
    assert len(of(runtime)) == 8000
    assert likeness(of(runtime), tone(440, 8000)) > 0.999


async def test_a_file_that_cannot_be_played_is_named(tmp_path: Path) -> None:
    await refused(lambda call: call.play(tmp_path / "nowhere.mp3"), r"nowhere\.mp3: No such file")


async def test_a_clear_stops_what_is_being_encoded_for_spawned_work() -> None:
    call, runtime = call_on()
    playing = call.spawn(call.play(Sound(np.tile(RAMP, 500), 8000)))
    await asyncio.sleep(0)  # it waits for its thread
    await call.clear()
    await playing
    assert runtime.commands == [ClearPlayback()]


class Watched(FakeRuntime):
    """Tells of each command before it is kept."""

    def __init__(self, watch: Callable[[int], None]) -> None:
        super().__init__()
        self._watch = watch

    def emit(self, command: Command) -> None:
        self._watch(len(self.commands))
        super().emit(command)


LONG_S = 250  # commands of a second


async def test_a_long_sound_does_not_leave_in_one_go() -> None:
    turn = 0
    turns: list[int] = []

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    runtime = Watched(lambda number: turns.append(turn))
    await Call("c1", STARTED, runtime, None).play(Sound(np.zeros(8000 * LONG_S, np.int16), 8000))
    counting.cancel()
    assert len(turns) == LONG_S
    assert max(turns.count(each) for each in set(turns)) == 100


async def test_a_clear_stops_a_sound_that_leaves() -> None:
    clearing: list[asyncio.Task[None]] = []
    runtime = Watched(
        lambda number: clearing.append(asyncio.create_task(call.clear())) if number == 50 else None
    )
    call = Call("c1", STARTED, runtime, None)
    await call.play(Sound(np.zeros(8000 * LONG_S, np.int16), 8000))
    assert [type(command) for command in runtime.commands] == [*[PlayAudio] * 100, ClearPlayback]


async def test_long_sounds_that_are_played_at_once_do_not_mix() -> None:
    call, runtime = call_on()
    sounds = [Sound(np.full(8000 * LONG_S, level, np.int16), 8000) for level in (1000, -1000)]
    await asyncio.gather(*(call.play(sound) for sound in sounds))
    signs = np.sign(of(runtime)[::8000].astype(int)).tolist()
    assert sorted(signs) == [-1] * LONG_S + [1] * LONG_S
    assert np.count_nonzero(np.diff(signs)) == 1


async def test_an_array_of_more_than_one_channel_is_refused() -> None:
    stereo: Any = np.zeros((160, 2), np.int16)
    await refused(lambda call: call.play(stereo), "an array of 2 dimensions; one is needed")


async def test_what_is_no_number_is_silence() -> None:
    samples = np.array([np.nan, 0.5, np.inf], dtype=np.float32)
    (payload,) = await played(samples, L16)
    assert codecs.decode(payload, L16).tolist() == [0, 16_384, 32_767]


async def test_a_packet_that_is_not_full_waits_until_something_else_is_asked_for() -> None:
    call, runtime = call_on(OPUS)
    await call.play(tone(440, 48_000)[:1440])  # 30 ms
    assert [lasting(each) for each in runtime.commands] == [960]
    await call.mark("end")
    assert [lasting(each) for each in runtime.commands] == [960, 960, 0]
    await call.mark("nothing waits any more")
    assert [lasting(each) for each in runtime.commands] == [960, 960, 0, 0]


async def test_a_clear_drops_what_waits() -> None:
    call, runtime = call_on(OPUS)
    await call.play(tone(440, 48_000)[:480])
    await call.clear()
    await call.hang_up()
    assert runtime.commands == [ClearPlayback(), HangUp()]


async def test_made_up_audio_is_encoded_even_where_the_format_is_the_same() -> None:
    concealed = HeardAudio(AudioReceived(b"", 0, 1), PCMU, Decoded(8000, RAMP), is_concealed=True)
    assert await played(concealed) == [codecs.encode(RAMP, PCMU)]


async def test_another_agent_may_be_watched_on_the_same_call() -> None:
    call, runtime = call_on()
    seen: list[Command] = []
    inner = call.watched(seen.append, {"its": "own"})
    await inner.play(RAMP)
    await inner.hang_up()
    await call.mark("of the outer one")
    assert seen == runtime.commands[:2] == [PlayAudio(codecs.encode(RAMP, PCMU)), HangUp()]
    assert (inner.id, inner.state, inner.lag_ms) == (call.id, {"its": "own"}, call.lag_ms)
    assert call.state is None
    await inner.spawn(inner.clear())
    assert seen[2:] == runtime.commands[3:] == [ClearPlayback()]
    with runtime.executor:
        assert await inner.offload(abs, -1) == 1


@pytest.mark.parametrize(
    ("play_format", "second_bytes"), [(PCMU, 8000), (L16, 16_000), (AudioFormat.pcm(16_000), 32000)]
)
@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.02, 3.0, 3.5])
async def test_long_audio_leaves_in_commands_of_a_second_at_most(
    play_format: AudioFormat, second_bytes: int, seconds: float
) -> None:
    payload = np.random.default_rng(7).bytes(int(seconds * second_bytes))
    sent = await played(payload, play_format)
    assert b"".join(sent) == payload
    assert [len(each) for each in sent[:-1]] == [second_bytes] * (len(sent) - 1)
    assert 0 < len(sent[-1]) <= second_bytes


async def test_audio_that_cannot_be_cut_leaves_whole() -> None:
    payload = b"\xfc" + bytes(200_000)  # one packet of 20 ms
    call, runtime = call_on(OPUS)
    await call.play(payload)
    assert runtime.commands == [PlayAudio(payload, 960)]


@pytest.mark.parametrize("audio", [b"", np.zeros(0, np.int16), Sound(np.zeros(0, np.int16), 8000)])
async def test_nothing_to_play_is_no_command(audio: Playable) -> None:
    assert await played(audio) == []


async def test_offload_passes_arguments_result_and_error_through() -> None:
    call, runtime = call_on()

    def divide(dividend: float, *, by: float) -> tuple[float, str]:
        return dividend / by, threading.current_thread().name

    with runtime.executor:
        result, thread = await call.offload(divide, 6, by=2)
        assert result == 3
        assert thread != threading.current_thread().name
        with pytest.raises(ZeroDivisionError):
            await call.offload(divide, 6, by=0)


async def test_spawned_work_is_a_task_that_can_be_awaited_or_cancelled() -> None:
    call, _ = call_on()
    done = []

    async def work() -> None:
        done.append(True)

    await call.spawn(work())
    assert done
    task = call.spawn(asyncio.sleep(60))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
