from __future__ import annotations

import os
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.errors import AgentError
from workers.voice.prompts import Prompts

SIZE = 2000  # bytes of samples in each file


def write(path: Path, value: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes([value, 0]) * (SIZE // 2))
    return path


def test_a_file_is_read_once(tmp_path: Path) -> None:
    prompts = Prompts(max_bytes=10 * SIZE)
    path = write(tmp_path / "a.wav")
    sound = prompts.sound(path)
    assert (sound.rate_hz, sound.pcm.tolist()) == (8000, [1] * (SIZE // 2))
    assert prompts.sound(str(path)) is sound


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    prompts = Prompts(max_bytes=10 * SIZE)
    path = write(tmp_path / "a.wav")
    before = prompts.sound(path)
    write(path, 2)
    os.utime(path, ns=(1, 1))  # however coarse the file system's clock
    assert prompts.sound(path).pcm[0] == 2
    assert before.pcm[0] == 1


def test_what_was_played_last_stays(tmp_path: Path) -> None:
    prompts = Prompts(max_bytes=2 * SIZE)
    first, second, third = (write(tmp_path / f"{name}.wav") for name in "abc")
    kept, gone = prompts.sound(first), prompts.sound(second)
    assert prompts.sound(first) is kept
    last = prompts.sound(third)
    assert prompts.sound(first) is kept
    assert prompts.sound(third) is last
    assert prompts.sound(second) is not gone


def test_what_is_too_large_is_played_but_not_kept(tmp_path: Path) -> None:
    prompts = Prompts(max_bytes=2 * SIZE - 1)
    small = prompts.sound(write(tmp_path / "small.wav"))
    path = tmp_path / "large.wav"
    path.write_bytes(write(tmp_path / "a.wav").read_bytes() + bytes(3 * SIZE))
    content = bytearray(path.read_bytes())
    content[40:44] = (4 * SIZE).to_bytes(4, "little")
    path.write_bytes(content)
    assert len(prompts.sound(path).pcm) == 2 * SIZE
    assert prompts.sound(path) is not prompts.sound(path)
    assert prompts.sound(tmp_path / "small.wav") is small


def test_threads_may_ask_at_once(tmp_path: Path) -> None:
    prompts = Prompts(max_bytes=3 * SIZE)
    paths = [write(tmp_path / f"{number}.wav", number) for number in range(6)]
    with ThreadPoolExecutor(4) as threads:
        sounds = list(threads.map(prompts.sound, paths * 50))
    assert [sound.pcm[0] for sound in sounds] == list(range(6)) * 50


@pytest.mark.parametrize("name", ["nowhere.wav", "a\0b", ""])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    with pytest.raises(AgentError) as raised:
        Prompts(max_bytes=SIZE).sound(path)
    assert str(raised.value).startswith(f"{path}: ")
