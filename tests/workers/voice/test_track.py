from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from common.events import AudioReceived
from workers.audio import codecs
from workers.audio.codec import Pcm
from workers.audio.sound import HeardAudio
from workers.voice.late_decoder import LateDecoder
from workers.voice.track import Track

PCMU = AudioFormat.pcmu()
L16 = AudioFormat.pcm(8000)
OPUS = AudioFormat(Encoding.OPUS, 48_000)
TONE = np.rint(8000 * np.sin(2 * np.pi * 400 * np.arange(160) / 8000)).astype(np.int16)


def track(audio_format: AudioFormat = L16, to_hz: int | None = None) -> Track:
    return Track(LateDecoder(audio_format), to_hz)


def frame(sequence: int, lost: int = 0, pcm: Pcm = TONE) -> AudioReceived:
    return AudioReceived(pcm.tobytes(), (sequence - 1) * 20, sequence, lost)


def hear(track: Track, *events: AudioReceived) -> list[HeardAudio]:
    return [audio for event in events for audio in track.hear(event)]


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"trunkline_worker_{name}_total") or 0.0


def test_a_frame_is_decoded() -> None:
    (audio,) = hear(track(), frame(3))
    assert (audio.offset_ms, audio.sequence, audio.rate_hz) == (40, 3, 8000)
    assert audio.payload == TONE.tobytes()
    assert audio.pcm.tolist() == TONE.tolist()
    assert not audio.is_concealed


@pytest.mark.parametrize("to_hz", [8000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("audio_format", [PCMU, L16, AudioFormat.pcm(24_000)], ids=str)
def test_a_second_is_a_second_at_any_rate(audio_format: AudioFormat, to_hz: int) -> None:
    payload = audio_format.silence(audio_format.bytes_for(audio_format.rate_hz // 50))
    events = [AudioReceived(payload, 20 * n, n + 1) for n in range(50)]
    heard = hear(track(audio_format, to_hz), *events)
    assert {audio.rate_hz for audio in heard} == {to_hz}
    assert to_hz * 0.99 <= sum(len(audio.pcm) for audio in heard) <= to_hz


def test_samples_cannot_be_changed() -> None:
    for to_hz in (None, 16_000):
        (audio,) = hear(track(to_hz=to_hz), frame(1))
        with pytest.raises(ValueError, match="read-only"):
            audio.pcm[0] = 1


def test_lost_frames_are_made_up_for_and_told() -> None:
    before = metric("concealed_seconds")
    first, concealed, last = hear(track(), frame(1), frame(4, lost=2))
    assert concealed.is_concealed
    assert concealed.payload == b""
    assert (concealed.sequence, concealed.offset_ms, concealed.lost_frames) == (2, 20, 0)
    assert len(concealed.pcm) == 320
    assert np.abs(concealed.pcm[:160]).max() > 6000  # a steady tone goes on
    assert (last.sequence, last.offset_ms, last.lost_frames) == (4, 60, 2)
    assert not first.is_concealed
    assert not last.is_concealed
    assert metric("concealed_seconds") - before == pytest.approx(0.04)


def test_nothing_is_made_up_for_long() -> None:
    _, concealed, _ = hear(track(), frame(1), frame(12, lost=10))
    assert np.abs(concealed.pcm[480:]).max() == 0


def test_a_long_gap_comes_in_pieces_of_a_second() -> None:
    _, *pieces, last = hear(track(), frame(1), frame(142, lost=140))
    assert [len(piece.pcm) for piece in pieces] == [8000, 8000, 6400]
    assert [piece.sequence for piece in pieces] == [2, 52, 102]
    assert [piece.offset_ms for piece in pieces] == [20, 1020, 2020]
    assert last.offset_ms == 2820


def test_no_gap_is_made_up_for_without_end() -> None:
    second = np.zeros(8000, np.int16)
    pieces = hear(track(), AudioReceived(second.tobytes(), 1_000_000, 1001, 1000))[:-1]
    assert len(pieces) == 20
    assert pieces[0].offset_ms == 980_000


def test_a_payload_that_is_no_audio_counts_as_lost() -> None:
    before = metric("payloads_refused")
    packet = codecs.open_encoder(OPUS).encode(np.zeros(960, np.int16))[0].payload
    opus = track(OPUS, 16_000)
    events = [
        AudioReceived(payload, 20 * n, n + 1) for n, payload in enumerate([packet, b"\xff", packet])
    ]
    first, broken, last = hear(opus, *events)
    assert (broken.is_concealed, broken.sequence, broken.offset_ms) == (True, 2, 20)
    assert len(first.pcm) + len(broken.pcm) + len(last.pcm) >= 960 - 80
    assert metric("payloads_refused") == before + 1


def test_the_first_payload_may_be_broken() -> None:
    (broken,) = hear(track(OPUS), AudioReceived(b"\xff", 0, 1))
    assert broken.is_concealed
    assert len(broken.pcm) == 960


@settings(max_examples=100, deadline=None)
@given(losses=st.lists(st.integers(0, 1000), min_size=1, max_size=6))
def test_samples_and_offsets_agree_whatever_is_lost(losses: list[int]) -> None:
    events = []
    sequence = 0
    for lost in losses:
        sequence += lost + 1
        events.append(frame(sequence, lost))
    position = 0
    for audio in hear(track(), *events):
        assert audio.offset_ms == position * 1000 // 8000
        position += len(audio.pcm)
    assert position == sequence * 160


def test_a_format_without_a_decoder_is_said_at_once() -> None:
    with pytest.raises(AgentError, match="2 channels"):
        track(AudioFormat(Encoding.PCMU, 8000, channels=2))
