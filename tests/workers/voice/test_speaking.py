from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from common.commands import PlayAudio
from common.errors import AgentError
from workers.audio import codecs
from workers.audio.codec import Pcm
from workers.audio.resampler import Resampler
from workers.audio.sound import Sound, as_pcm
from workers.voice.late_decoder import LateDecoder
from workers.voice.speaking import Speaking

PCMU = AudioFormat.pcmu()
PCMA = AudioFormat(Encoding.PCMA, 8000)
G722 = AudioFormat(Encoding.G722, 16_000)
OPUS = AudioFormat(Encoding.OPUS, 48_000)
AMR_WB = AudioFormat(Encoding.AMR_WB, 16_000)
FORMATS = [PCMU, PCMA, AudioFormat.pcm(8000), AudioFormat.pcm(24_000), G722, OPUS]


def tone(samples: int, rate_hz: int) -> Pcm:
    wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate_hz)
    pcm: Pcm = np.rint(wave).astype(np.int16)
    return pcm


def lasting_ms(commands: list[PlayAudio], play_format: AudioFormat) -> float:
    samples = sum(c.samples or play_format.samples_in(len(c.payload)) for c in commands)
    return play_format.ms(samples)


def decoded(commands: list[PlayAudio], play_format: AudioFormat) -> tuple[Pcm, int]:
    decoder = codecs.open_decoder(play_format)
    return np.concatenate([decoder.decode(c.payload) for c in commands]), decoder.rate_hz


@pytest.mark.parametrize("play_format", FORMATS, ids=str)
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000])
def test_a_sound_is_whole(play_format: AudioFormat, rate_hz: int) -> None:
    """To its very last sample, however far the encoder looks ahead."""
    sound = Sound(tone(rate_hz * 333 // 1000, rate_hz), rate_hz)
    commands = Speaking(play_format).whole(sound)
    assert 333 <= lasting_ms(commands, play_format) <= 333 + 27
    heard, heard_hz = decoded(commands, play_format)
    last_ms = np.flatnonzero(np.abs(heard) > 2000)[-1] * 1000 / heard_hz
    assert 330 <= last_ms <= 342


@pytest.mark.parametrize("play_format", FORMATS, ids=str)
def test_a_sound_of_nothing_is_nothing(play_format: AudioFormat) -> None:
    assert Speaking(play_format).whole(Sound(tone(0, 8000), 8000)) == []


@pytest.mark.parametrize("play_format", FORMATS, ids=str)
def test_arrays_are_one_stream_however_they_are_cut(play_format: AudioFormat) -> None:
    samples = tone(8000, 16_000)
    streamed = Speaking(play_format)
    cut = [c for part in np.split(samples, [100, 777, 4000]) for c in streamed.stream(part, 16_000)]
    at_once = Speaking(play_format)
    whole = [*at_once.stream(samples, 16_000), *at_once.flush()]
    cut += streamed.flush()
    assert b"".join(c.payload for c in cut) == b"".join(c.payload for c in whole)


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from([8000, 16_000, 22_050])), max_size=8
    ),
    play_format=st.sampled_from([PCMU, OPUS, G722]),
)
def test_time_stays_true_through_any_mix_of_rates(
    parts: list[tuple[int, int]], play_format: AudioFormat
) -> None:
    speaking = Speaking(play_format)
    commands = [c for samples, hz in parts for c in speaking.stream(np.zeros(samples, "i2"), hz)]
    commands += speaking.flush()
    expected_ms = sum(samples * 1000 / hz for samples, hz in parts)
    changes = 1 + len(parts)
    assert expected_ms - 0.2 * changes <= lasting_ms(commands, play_format)
    assert lasting_ms(commands, play_format) <= expected_ms + 27 + 0.2 * changes


def test_flushing_ends_a_stream_once() -> None:
    speaking = Speaking(OPUS)
    assert speaking.flush() == []
    assert [c.samples for c in speaking.stream(tone(1000, 48_000), 48_000)] == [960]
    assert [c.samples for c in speaking.flush()] == [960]
    assert speaking.flush() == []


def test_what_is_dropped_is_not_heard_later() -> None:
    speaking = Speaking(OPUS)
    speaking.stream(tone(900, 48_000), 48_000)
    speaking.drop()
    assert speaking.flush() == []
    (packet,) = speaking.stream(np.zeros(960, np.int16), 48_000)
    assert np.abs(decoded([packet], OPUS)[0]).max() < 10


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.integers(1, 9), max_size=4),
    after=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    play_format=st.sampled_from([PCMU, AudioFormat.pcm(24_000), OPUS, G722]),
    rate_hz=st.sampled_from([8000, 16_000, 48_000]),
)
def test_a_new_owner_makes_as_many_packets_as_the_one_before_would_have(
    before: list[int], after: list[int], play_format: AudioFormat, rate_hz: int
) -> None:
    """Or commands would be taken for issued that were not. Arrays of so many times 5 ms."""
    step = rate_hz // 200
    speaking = Speaking(play_format, rate_hz=rate_hz)
    for steps in before:
        speaking.stream(tone(steps * step, rate_hz))
    successor = Speaking(play_format, rate_hz=rate_hz, waiting=speaking.waiting)
    for steps in after:
        assert successor.waiting == speaking.waiting
        expected = speaking.stream(tone(steps * step, rate_hz))
        made = successor.stream(tone(steps * step, rate_hz))
        assert [c.samples for c in made] == [c.samples for c in expected]
    assert [c.samples for c in successor.flush()] == [c.samples for c in speaking.flush()]
    assert speaking.waiting == successor.waiting == 0


def test_what_waited_for_another_owner_is_silence() -> None:
    (packet,) = Speaking(OPUS, waiting=500).flush()
    assert packet.samples == 960
    assert np.abs(decoded([packet], OPUS)[0]).max() < 10
    assert Speaking(PCMU, waiting=0).flush() == []


def test_encoded_audio_does_not_overtake_the_stream() -> None:
    speaking = Speaking(OPUS)
    packet = speaking.stream(tone(960, 48_000), 48_000)[0].payload
    speaking.flush()
    speaking.stream(tone(100, 48_000), 48_000)
    waiting, passed = speaking.encoded(packet)
    assert (passed, waiting.samples) == (PlayAudio(packet, 960), 960)


@pytest.mark.parametrize("play_format", [PCMU, AudioFormat.pcm(24_000)])
def test_long_audio_leaves_in_commands_of_a_second_at_most(play_format: AudioFormat) -> None:
    second = play_format.bytes_for(play_format.rate_hz)
    sound = Sound(np.zeros(play_format.rate_hz * 5 // 2, np.int16), play_format.rate_hz)
    sizes = [len(c.payload) for c in Speaking(play_format).whole(sound)]
    assert sizes == [second, second, second // 2]
    sizes = [len(c.payload) for c in Speaking(play_format).encoded(bytes(second + 2))]
    assert sizes == [second, 2]


def test_a_sound_sounds_as_the_filter_alone_makes_it() -> None:
    sound = Sound(tone(22_050, 22_050), 22_050)
    filter_ = Resampler(22_050, 8000)
    expected = np.concatenate((filter_.process(sound.pcm), filter_.flush()))
    play_format = AudioFormat.pcm(8000)
    heard, _ = decoded(Speaking(play_format).whole(sound), play_format)
    assert len(heard) == len(expected) == 8000
    assert np.abs(heard.astype(int) - expected).max() <= 1  # rounding


def test_without_an_encoder_nothing_is_played_but_what_is_encoded() -> None:
    mp3 = AudioFormat(Encoding.MP3, 44_100)
    speaking = Speaking(mp3, heard=LateDecoder(PCMU))
    assert speaking.encoded(b"a whole file") == [PlayAudio(b"a whole file")]
    sound = Sound(tone(9, 8000), 8000)
    with pytest.raises(AgentError, match="there is no encoder for MP3/44100"):
        speaking.stream(sound.pcm, 8000)
    with pytest.raises(AgentError, match="there is no encoder for MP3/44100"):
        speaking.whole(sound)
    assert speaking.flush() == []


@pytest.mark.parametrize(
    ("play_format", "payload", "text"),
    [
        (AudioFormat.pcm(16_000), bytes(161), "cannot play 161 bytes as L16/16000: half a sample"),
        (OPUS, b"\x03", "cannot play 1 bytes as OPUS/48000: no packet of it"),
        (AMR_WB, bytes(160), "cannot play 160 bytes as AMR-WB/16000: no packet of it"),
    ],
    ids=["L16", "OPUS", "AMR-WB"],
)
def test_bytes_that_cannot_be_in_the_play_format_are_refused(
    play_format: AudioFormat, payload: bytes, text: str
) -> None:
    speaking = Speaking(play_format)
    with pytest.raises(AgentError, match=f"^{text}$"):
        speaking.encoded(payload)
    assert speaking.encoded(b"") == []
    # The provider's own are its own affair.
    assert speaking.passed(payload) == [PlayAudio(payload)]


@pytest.mark.parametrize("rate_hz", [0, -8000, 3999, 192_001, 8000.5])
def test_a_rate_at_which_nothing_can_be_played_is_refused(rate_hz: Any) -> None:
    with pytest.raises(AgentError, match=f"cannot play at {rate_hz} Hz: it is a whole number"):
        Speaking(PCMU).stream(tone(9, 8000), rate_hz)


@pytest.mark.parametrize("play_format", FORMATS, ids=str)
def test_a_channel_of_several_is_played_as_a_copy_of_it_would_be(play_format: AudioFormat) -> None:
    channel = np.repeat(tone(4000, 16_000), 2).reshape(-1, 2)[:, 1]
    assert not channel.flags.c_contiguous
    expected = Speaking(play_format).whole(Sound(channel.copy(), 16_000))
    assert Speaking(play_format).whole(Sound(channel, 16_000)) == expected
    streamed = Speaking(play_format).stream(as_pcm(channel), 16_000)
    assert streamed == Speaking(play_format).stream(channel.copy(), 16_000)
