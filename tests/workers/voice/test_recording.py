from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.audio import AudioFormat, Encoding
from common.commands import ClearPlayback, PlayAudio, SetMark
from common.events import AudioReceived
from workers.audio import codecs
from workers.audio.codec import Pcm
from workers.audio.sound import Decoded, HeardAudio
from workers.voice.recording import Issued, Place, Recording
from workers.voice.stereo_wav import LEFT, RIGHT, StereoWav

L16 = AudioFormat.pcm(8000)
FRAME = 160


def level(value: int, samples: int = FRAME) -> Pcm:
    return np.full(samples, value, np.int16)


class Tape:
    """A recording, and what would be in it."""

    def __init__(
        self, path: Path, place: Place | None = None, *, play_format: AudioFormat = L16
    ) -> None:
        self._path = path
        self.place = Place() if place is None else place
        self.recording = Recording(StereoWav(path, 8000), 8000, play_format, self.place)

    def hear(self, frames: int = 1, *, at: int | None = None, pcm: Pcm | None = None) -> None:
        """So many frames of the caller, from frame `at` on."""
        first = self.place.heard // FRAME if at is None else at
        for number in range(first, first + frames):
            event = AudioReceived(b"", 20 * number, number + 1)
            decoded = Decoded(8000, level(5) if pcm is None else pcm)
            self.recording.heard(HeardAudio(event, L16, decoded))

    def play(self, value: int, frames: int = 1) -> None:
        self.issue(PlayAudio(level(value, frames * FRAME).tobytes()))

    def issue(self, *commands: PlayAudio | ClearPlayback | SetMark) -> None:
        self.recording.issued([Issued(command, self.place.heard) for command in commands])

    def channels(self) -> NDArray[np.int16]:
        """The value of each frame, shape (2, frames)."""
        self.recording.close()
        with wave.open(str(self._path), "rb") as file:
            data = file.readframes(file.getnframes())
        samples = np.frombuffer(data, "<i2").reshape(-1, 2)
        frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME, 2)
        assert (frames == frames[:, :1]).all()
        return frames[:, 0].T


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path / "call.wav")


def test_the_caller_is_left_and_the_agent_right(tape: Tape) -> None:
    tape.hear(2)
    tape.play(9)
    tape.hear(2)
    assert tape.channels().tolist() == [[5, 5, 5, 5], [0, 0, 9, 0]]


def test_the_agent_is_heard_behind_what_is_queued_already(tape: Tape) -> None:
    tape.hear()
    tape.play(7, 2)
    tape.play(8)
    tape.hear()
    tape.play(9)
    tape.hear(5)
    assert tape.channels()[RIGHT].tolist() == [0, 7, 7, 8, 9, 0, 0]


def test_what_is_played_before_anything_is_heard_begins_with_the_call(tape: Tape) -> None:
    tape.play(9)
    tape.hear(2)
    assert tape.channels().tolist() == [[5, 5], [9, 0]]


def test_a_clear_takes_back_what_the_caller_has_not_heard(tape: Tape) -> None:
    tape.play(9, 10)
    tape.hear(3)
    tape.issue(ClearPlayback())
    tape.play(8)
    tape.hear(4)
    assert tape.channels().tolist() == [[5] * 7, [9, 9, 9, 8, 0, 0, 0]]


def test_a_clear_counts_from_when_it_was_asked_for(tape: Tape) -> None:
    tape.play(9, 10)
    tape.hear(3)
    clear = Issued(ClearPlayback(), tape.place.heard)
    tape.hear(2)
    tape.recording.issued([clear])
    tape.hear()
    assert tape.channels().tolist() == [[5] * 6, [9, 9, 9, 0, 0, 0]]


def test_a_clear_with_nothing_queued_changes_nothing(tape: Tape) -> None:
    tape.hear()
    tape.play(9)
    tape.hear(3)
    tape.issue(ClearPlayback(), SetMark("m"))
    tape.hear()
    assert tape.channels().tolist() == [[5] * 5, [0, 9, 0, 0, 0]]


def test_a_gap_is_as_long_as_it_was(tape: Tape) -> None:
    tape.hear(2)
    tape.hear(2, at=5)
    assert tape.channels()[LEFT].tolist() == [5, 5, 0, 0, 0, 5, 5]


def test_offsets_that_are_rounded_are_no_gap(tape: Tape) -> None:
    for number in range(100):
        event = AudioReceived(b"", int(number * 12.5), number + 1)
        tape.recording.heard(HeardAudio(event, L16, Decoded(8000, level(5, 100))))
    assert (tape.channels()[LEFT] == 5).all()


def test_the_recording_ends_with_the_call(tape: Tape) -> None:
    tape.hear(2)
    tape.play(9, 100)
    tape.hear(2)
    assert tape.channels().tolist() == [[5] * 4, [0, 0, 9, 9]]


def test_where_the_caller_was_never_heard_the_agent_is_kept(tape: Tape) -> None:
    tape.play(9, 2)
    assert tape.channels().tolist() == [[0, 0], [9, 9]]


def test_the_next_owner_goes_on_in_the_same_place(tmp_path: Path) -> None:
    before = Tape(tmp_path / "call.wav")
    before.hear(2)
    before.play(9, 4)
    after = Tape(tmp_path / "call.wav", before.place)
    after.hear(2)
    after.play(8)
    after.hear(4)
    assert after.channels().tolist() == [[5] * 8, [0, 0, 9, 9, 9, 9, 8, 0]]


def test_what_is_handled_again_is_recorded_once(tmp_path: Path) -> None:
    before = Tape(tmp_path / "call.wav")
    before.hear(2)
    kept = Place(before.place.heard, before.place.played)
    before.hear()
    before.play(9)
    after = Tape(tmp_path / "call.wav", kept)
    after.hear()
    after.play(9)
    after.hear()
    assert after.channels().tolist() == [[5] * 4, [0, 0, 0, 9]]


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000])
@pytest.mark.parametrize("encoding", [Encoding.PCMU, Encoding.PCMA, Encoding.L16])
def test_other_rates_and_codecs_are_recorded_without_a_click(
    tmp_path: Path, rate_hz: int, encoding: Encoding
) -> None:
    """A tone, frame by frame, each played when the frame before was heard: one tone on the tape."""
    play_format = AudioFormat(encoding, rate_hz)
    place = Place()
    recording = Recording(StereoWav(tmp_path / "a.wav", 16_000), 16_000, play_format, place)
    times = np.arange(rate_hz) / rate_hz
    tone = np.rint(10_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)
    for number, frame in enumerate(np.split(tone, 50)):
        event = AudioReceived(b"", 20 * number, number + 1)
        recording.heard(HeardAudio(event, play_format, Decoded(rate_hz, frame)))
        played = PlayAudio(codecs.encode(frame, play_format))
        recording.issued([Issued(played, place.heard)])
    recording.close()
    with wave.open(str(tmp_path / "a.wav"), "rb") as file:
        data = file.readframes(file.getnframes())
    left, right = np.frombuffer(data, "<i2").reshape(-1, 2).T
    times = np.arange(len(left)) / 16_000
    expected = 10_000 * np.sin(2 * np.pi * 440 * times)
    assert len(left) == pytest.approx(16_000, abs=100)
    assert np.corrcoef(left[200:-200], expected[200:-200])[0, 1] > 0.999
    delay = max(range(240, 400), key=lambda d: float(np.dot(right[d:], expected[: len(right) - d])))
    late = right[delay + 200 : -200]
    assert np.corrcoef(late, expected[200 : 200 + len(late)])[0, 1] > 0.999


def test_bytes_that_are_no_audio_are_silence(tmp_path: Path) -> None:
    opus = AudioFormat(Encoding.OPUS, 8000)
    tape = Tape(tmp_path / "call.wav", play_format=opus)
    tape.issue(PlayAudio(b"\xff\xff\xff", 320))
    assert tape.place.played == 320
    tape.hear(3)
    assert tape.channels().tolist() == [[5] * 3, [0] * 3]


def test_an_agent_that_nobody_can_decode_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stereo = AudioFormat(Encoding.PCMU, 8000, channels=2)
    tape = Tape(tmp_path / "call.wav", play_format=stereo)
    tape.issue(PlayAudio(bytes(160)), PlayAudio(bytes(160)))
    tape.hear(2)
    assert tape.channels().tolist() == [[5] * 2, [0] * 2]
    assert caplog.text.count("the agent is not recorded: PCMU/8000/2 has 2 channels") == 1
