from __future__ import annotations

import numpy as np
import pytest

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from common.events import AudioReceived, CallStarted, DtmfReceived
from workers.agent import Agent
from workers.audio import codecs
from workers.audio.dtmf_tones import dtmf_tones
from workers.audio.sound import HeardAudio
from workers.running.hearing import Heard, Hearing
from workers.running.memory import Memory

PCMU = AudioFormat.pcmu()
STEREO = AudioFormat(Encoding.PCMU, 8000, channels=2)
FRAME = codecs.encode(np.arange(-8000, 8000, 100, dtype=np.int16), PCMU)
KEY = codecs.encode(dtmf_tones("7", 8000), PCMU)


class Listener(Agent):
    listen = AudioFormat.pcm(16_000)


class Switchboard(Agent):
    detect_dtmf = True


class Both(Listener):
    detect_dtmf = True


def hearing(agent: type[Agent], audio_format: AudioFormat = PCMU) -> Hearing:
    started = CallStarted("mesmer", audio_format, reports_dtmf=False)
    return Hearing(agent, started, Memory())


def hear(hearing: Hearing, *events: AudioReceived) -> list[Heard]:
    return [heard for event in events for heard in hearing.hear(event)]


def only(heard: list[Heard]) -> HeardAudio:
    (audio,) = heard
    assert isinstance(audio, HeardAudio)
    return audio


def test_without_listen_frames_pass_as_they_came() -> None:
    audio = only(hear(hearing(Agent), AudioReceived(FRAME, 600, 31, 30)))
    assert (audio.payload, audio.format, audio.lost_frames) == (FRAME, PCMU, 30)
    assert audio.pcm.tolist() == codecs.decode(FRAME, PCMU).tolist()
    assert audio.rate_hz == 8000


def test_without_listen_no_decoder_is_needed() -> None:
    echo = hearing(Agent, STEREO)
    echo.check()
    audio = only(hear(echo, AudioReceived(FRAME, 0, 1)))
    assert audio.payload == FRAME
    with pytest.raises(AgentError, match="2 channels"):
        _ = audio.pcm


def test_frames_that_are_looked_at_are_decoded_by_one_decoder() -> None:
    opus = AudioFormat(Encoding.OPUS, 48_000)
    tone = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(9600) / 48_000)).astype(np.int16)
    packets = [packet for packet, _ in codecs.open_encoder(opus).encode(tone)]
    events = [AudioReceived(packet, 20 * n, n + 1) for n, packet in enumerate(packets)]
    heard = [
        audio.pcm for audio in hear(hearing(Agent, opus), *events) if isinstance(audio, HeardAudio)
    ]
    decoder = codecs.open_decoder(opus)
    expected = [decoder.decode(packet) for packet in packets]
    assert np.array_equal(np.concatenate(heard), np.concatenate(expected))


def test_with_listen_the_agent_hears_its_own_rate() -> None:
    listener = hearing(Listener)
    listener.check()
    audio = only(hear(listener, AudioReceived(FRAME, 0, 1)))
    assert audio.rate_hz == 16_000
    assert audio.payload == FRAME
    assert 320 - 100 <= len(audio.pcm) <= 320
    assert audio.samples.dtype == np.float32


def test_with_listen_gaps_are_made_up_for() -> None:
    events = [AudioReceived(FRAME, 0, 1), AudioReceived(FRAME, 60, 4, 2)]
    heard = [audio for audio in hear(hearing(Listener), *events) if isinstance(audio, HeardAudio)]
    assert [audio.is_concealed for audio in heard] == [False, True, False]


def test_what_cannot_be_decoded_is_said_at_the_start_to_who_listens() -> None:
    for agent in (Listener, Switchboard):
        with pytest.raises(AgentError, match="2 channels: one is needed"):
            hearing(agent, STEREO).check()


@pytest.mark.parametrize("wanted", [PCMU, AudioFormat.pcm(100), AudioFormat(Encoding.L16, 8000, 2)])
def test_what_no_agent_can_listen_to_is_said_at_the_start(wanted: AudioFormat) -> None:
    class Wrong(Agent):
        listen = wanted

    with pytest.raises(AgentError, match=r"Wrong listens to .*AudioFormat\.pcm\(rate\)"):
        hearing(Wrong).check()


def test_keys_come_before_the_frame_they_were_heard_in() -> None:
    heard = hear(hearing(Both), AudioReceived(KEY, 0, 1))
    assert heard[0] == DtmfReceived("7")
    assert isinstance(heard[1], HeardAudio)


def test_detecting_leaves_frames_as_they_came_where_there_is_no_listen() -> None:
    key, first, audio = hear(
        hearing(Switchboard), AudioReceived(KEY, 0, 1), AudioReceived(FRAME, 260, 14, 3)
    )
    assert key == DtmfReceived("7")
    assert isinstance(first, HeardAudio)
    assert isinstance(audio, HeardAudio)
    assert (first.payload, audio.payload, audio.lost_frames) == (KEY, FRAME, 3)
    assert (audio.rate_hz, len(audio.pcm), audio.is_concealed) == (8000, 160, False)


def test_only_the_caller_s_keys_count() -> None:
    heard = hear(hearing(Both), AudioReceived(KEY, 0, 1, track="outbound"))
    assert isinstance(only(heard), HeardAudio)


def test_tracks_are_decoded_apart() -> None:
    events = [
        AudioReceived(FRAME, 0, 1),
        AudioReceived(FRAME, 0, 1, track="outbound"),
        AudioReceived(FRAME, 20, 2),
    ]
    first, other, _ = (audio for audio in hear(hearing(Listener), *events))
    assert isinstance(first, HeardAudio)
    assert isinstance(other, HeardAudio)
    assert other.track == "outbound"
    assert np.array_equal(first.pcm, other.pcm)  # it begins as the other one did
