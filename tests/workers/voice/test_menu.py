from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from common.errors import UsageError
from workers.voice import menu
from workers.voice.menu import Menu, Node, load_menu, render

GOOD = """
start = "door"
between_keys_s = 1.5

[nodes.door]
play = "door.wav"
keys = { 1 = "sales", "12#" = "vault", "*" = "door" }

[nodes.sales]
say = "Sales."

[nodes.vault]
hang_up = true
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "menu.toml"
    path.write_text(text)
    return path


def beep(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.full(80, 7, np.int16).tobytes())


def test_a_menu_is_a_file(tmp_path: Path) -> None:
    assert load_menu(write(tmp_path, GOOD)) == Menu(
        {
            "door": Node(play="door.wav", keys={"1": "sales", "12#": "vault", "*": "door"}),
            "sales": Node(say="Sales."),
            "vault": Node(hang_up=True),
        },
        start="door",
        between_keys_s=1.5,
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Object missing required field `nodes`"),
        ("nodes = 1", "Expected `object`, got `int`"),
        ("[nodes.main", "Expected ']'"),
        ("[nodes.other]", "start: there is no node 'main'"),
        ('[nodes.main]\nsay = "a"\nplay = "b"', "main: either say or play"),
        ("[nodes.main]\nkeys = { 1 = 'away' }", "main: 1 leads to 'away', which is no node"),
        ("[nodes.main]\nkeys = { 1 = 'main' }\nhang_up = true", "main: either keys or hang_up"),
        ("[nodes.main]\nkeys = { x = 'main' }", "Expected `str` matching regex"),
        ('[nodes."a b"]', "Expected `str` matching regex"),
        ("[nodes.main]\nvolume = 11", "Object contains unknown field `volume`"),
        ("patience_s = 0\n[nodes.main]", "Expected `float` > 0.0"),
    ],
)
def test_a_fault_is_named_with_its_file(tmp_path: Path, text: str, fault: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        load_menu(path)
    assert str(raised.value).startswith(f"menu {path}: {fault}")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml: No such file"):
        load_menu(tmp_path / "nowhere.toml")
    (tmp_path / "menu.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"menu\.toml: "):
        load_menu(tmp_path / "menu.toml")


def test_prompts_are_files_beside_the_menu(tmp_path: Path) -> None:
    beep(tmp_path / "beep.wav")
    sounds = render(Menu({"main": Node(play="beep.wav"), "mute": Node()}), tmp_path, voice="en-us")
    assert list(sounds) == ["main"]
    assert (sounds["main"].rate_hz, sounds["main"].pcm.tolist()) == (8000, [7] * 80)


def test_a_prompt_that_cannot_be_played_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"menu: prompt main: .*away\.wav: No such file"):
        render(Menu({"main": Node(play="away.wav")}), tmp_path, voice="en-us")


def speaker(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of the speaker's name."""
    program = directory / "espeak-ng"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


def test_what_is_to_be_said_is_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beep(tmp_path / "spoken.wav")
    said = tmp_path / "said"
    script = f'cat > {said}; echo "$@" >> {said}; cp {tmp_path}/spoken.wav "$4"'
    speaker(tmp_path, script, monkeypatch)
    (sound,) = render(Menu({"main": Node(say="--help")}), tmp_path, voice="de").values()
    assert sound.pcm.tolist() == [7] * 80
    text, _, arguments = said.read_text().partition("-v")
    assert text == "--help"
    assert arguments.split()[0] == "de"


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo 'no such   voice' >&2; exit 1", "espeak-ng: no such voice"),
        ("exit 2", "espeak-ng: failed"),
        ("cat > /dev/null", r"spoken\.wav: No such file"),
        ("echo nonsense > $4", r"spoken\.wav: damaged, or no WAV"),
    ],
)
def test_a_speaker_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, fault: str
) -> None:
    speaker(tmp_path, script, monkeypatch)
    with pytest.raises(UsageError, match=f"menu: prompt main: .*{fault}"):
        render(Menu({"main": Node(say="Hello.")}), tmp_path, voice="en-us")


def test_without_a_speaker_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = "menu: prompt main: espeak-ng is not on PATH: install it, or give files to play"
    with pytest.raises(UsageError, match=text):
        render(Menu({"main": Node(say="Hello.")}), tmp_path, voice="en-us")


def test_a_speaker_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menu, "_RENDER_TIMEOUT_S", 0.1)
    speaker(tmp_path, "exec sleep 60", monkeypatch)
    with pytest.raises(UsageError, match="timed out"):
        render(Menu({"main": Node(say="Hello.")}), tmp_path, voice="en-us")
