from __future__ import annotations

import asyncio
import threading
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
from common.events import AudioReceived
from tests.workers.calls import call_on
from workers.audio import codecs
from workers.call import Playable
from workers.sound import HeardAudio, Sound

PCMU = AudioFormat.pcmu()
PCMA = AudioFormat(Encoding.PCMA, 8000)
L16 = AudioFormat.pcm(8000)
RAMP = np.arange(-8000, 8000, 100, dtype=np.int16)  # 160 samples: 20 ms


def heard(payload: bytes, audio_format: AudioFormat = PCMU) -> HeardAudio:
    return HeardAudio(AudioReceived(payload, 0, 1), audio_format)


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
        ("send_dtmf", ("12*#AD",), SendDtmf("12*#AD")),
        ("hang_up", (), HangUp()),
        ("hang_up", ("bye",), HangUp(detail="bye")),
    ],
)
async def test_a_verb_is_a_command(verb: str, arguments: tuple[Any, ...], command: Command) -> None:
    call, runtime = call_on()
    await getattr(call, verb)(*arguments)
    assert runtime.commands == [command]


async def test_keys_can_be_pressed_long() -> None:
    call, runtime = call_on()
    await call.send_dtmf("1", duration_ms=300)
    assert runtime.commands == [SendDtmf("1", 300)]


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


async def test_int16_arrays_are_at_the_call_s_rate() -> None:
    assert await played(RAMP) == [codecs.encode(RAMP, PCMU)]


async def test_float32_arrays_are_scaled_and_clipped() -> None:
    samples = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 7.0, -7.0], dtype=np.float32)
    (payload,) = await played(samples, L16)
    full = 32_767
    half = full // 2
    assert codecs.decode(payload, L16).tolist() == [0, half, -half, full, -full, full, -full]


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint8])
async def test_other_arrays_are_refused(dtype: type[np.generic]) -> None:
    samples: Any = np.zeros(160, dtype=dtype)
    await refused(lambda call: call.play(samples), "int16 or float32 are needed")


async def test_a_sound_at_another_rate_is_refused() -> None:
    sound = Sound(RAMP, 16_000)
    await refused(
        lambda call: call.play(sound), "cannot play 16000 Hz audio on a call at PCMU/8000"
    )


async def test_an_encoding_without_a_codec_is_refused() -> None:
    call, runtime = call_on(AudioFormat(Encoding.OPUS, 8000))
    with pytest.raises(AgentError, match="there is no codec for OPUS/8000"):
        await call.play(Sound(RAMP, 8000))
    assert runtime.commands == []


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
    opus = AudioFormat(Encoding.OPUS, 48_000)
    payload = bytes(200_000)
    assert await played(payload, opus) == [payload]


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
