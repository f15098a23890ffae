from __future__ import annotations

import gc
import os
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.audio.codec import Pcm
from workers.voice.stereo_wav import LEFT, RIGHT, StereoWav

RATE_HZ = 8000


def read(path: Path) -> NDArray[np.int16]:
    """As any program would, shape (samples, 2)."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE_HZ)
        data = file.readframes(file.getnframes())
        assert len(data) == 4 * file.getnframes()
    return np.frombuffer(data, "<i2").reshape(-1, 2)


def ramp(samples: int, first: int = 1) -> Pcm:
    return np.arange(first, first + samples, dtype=np.int16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "call.wav"


def test_a_new_file_is_an_empty_wav(path: Path) -> None:
    StereoWav(path, RATE_HZ).close()
    assert read(path).shape == (0, 2)


def test_channels_are_written_apart_at_any_place(path: Path) -> None:
    file = StereoWav(path, RATE_HZ)
    file.write(RIGHT, 3, ramp(4))
    file.write(LEFT, 0, ramp(5, 10))
    file.write(LEFT, 9, ramp(1, 7))
    assert file.frames == 10
    file.close()
    assert read(path).T.tolist() == [
        [10, 11, 12, 13, 14, 0, 0, 0, 0, 7],
        [0, 0, 0, 1, 2, 3, 4, 0, 0, 0],
    ]


def test_it_is_valid_at_any_moment_and_at_most_a_second_short(path: Path) -> None:
    file = StereoWav(path, RATE_HZ)
    for position in range(0, 3 * RATE_HZ, 160):
        file.write(LEFT, position, ramp(160))
        told = len(read(path))
        assert 0 <= file.frames - told < RATE_HZ
    file.cut(100)
    assert len(read(path)) == 100


def test_what_was_written_survives_whoever_wrote_it(path: Path) -> None:
    """A crash closes the file, and nothing more."""
    first = StereoWav(path, RATE_HZ)
    first.write(LEFT, 0, ramp(500))
    assert path.stat().st_size == 44 + 4 * 500
    second = StereoWav(path, RATE_HZ)
    assert second.frames == 500
    assert len(read(path)) == 500
    second.write(RIGHT, 400, ramp(200))
    second.close()
    heard = read(path)
    assert heard[:500, LEFT].tolist() == ramp(500).tolist()
    assert heard[400:, RIGHT].tolist() == ramp(200).tolist()


def test_where_the_file_is_gone_time_stays_true(path: Path) -> None:
    file = StereoWav(path, RATE_HZ)
    file.write(LEFT, 20_000, ramp(10))
    file.close()
    assert len(read(path)) == 20_010
    assert not read(path)[:20_000].any()


def test_half_a_sample_left_by_a_full_disk_is_overwritten(path: Path) -> None:
    file = StereoWav(path, RATE_HZ)
    file.write(LEFT, 0, ramp(10))
    file.close()
    with path.open("ab") as torn:
        torn.write(b"\x01\x02\x03")
    file = StereoWav(path, RATE_HZ)
    file.write(LEFT, 10, ramp(1, 11))
    file.close()
    assert read(path).T.tolist() == [ramp(11).tolist(), [0] * 11]


def test_it_is_closed_with_the_object(path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    file = StereoWav(path, RATE_HZ)
    assert set(os.listdir("/proc/self/fd")) - before
    del file
    gc.collect()
    assert not set(os.listdir("/proc/self/fd")) - before


def test_closing_twice_is_closing_once(path: Path) -> None:
    file = StereoWav(path, RATE_HZ)
    file.close()
    file.close()


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StereoWav(tmp_path / "nowhere" / "call.wav", RATE_HZ)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from([LEFT, RIGHT]), st.integers(0, 300), st.integers(0, 200)),
            st.integers(0, 400),
        ),
        max_size=20,
    )
)
def test_any_writes_and_cuts_are_those_of_an_array(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int] | int]
) -> None:
    path = tmp_path_factory.mktemp("steps") / "call.wav"
    file = StereoWav(path, RATE_HZ)
    expected = np.zeros((0, 2), np.int16)
    for step in steps:
        if isinstance(step, int):
            file.cut(step)
            expected = expected[:step]
            continue
        channel, position, count = step
        file.write(channel, position, ramp(count))
        if count:
            missing = max(0, position + count - len(expected))
            expected = np.concatenate((expected, np.zeros((missing, 2), np.int16)))
            expected[position : position + count, channel] = ramp(count)
    file.close()
    assert np.array_equal(read(path), expected)
