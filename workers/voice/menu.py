"""A menu of a telephone: prompts, and the keys that lead from one to the next; as a TOML file.

start = "main"
between_keys_s = 3          # how long to wait for another key
patience_s = 8              # and for the first, once a prompt was heard

[nodes.main]
say = "For sales press 1, for support press 2."    # or: play = "main.wav"
keys = { 1 = "sales", 2 = "support", "12#" = "vault" }

[nodes.sales]
play = "sales.mp3"          # beside this file
hang_up = true
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from common.errors import AgentError, UsageError
from workers.audio.files import load_sound
from workers.audio.sound import Sound

__all__ = ["Menu", "Node", "load_menu", "render"]

_SPEAKER = "espeak-ng"
_RENDER_TIMEOUT_S = 30

#: A mark's name begins with a node's.
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
_Keys = Annotated[str, Meta(pattern=r"^[0-9*#A-D]{1,32}$")]
_Seconds = Annotated[float, Meta(gt=0, le=600)]


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`say` is spoken, `play` is a file; `keys` lead on; `hang_up`: the call ends here."""

    say: str = ""
    play: str = ""
    keys: dict[_Keys, _Name] = {}
    hang_up: bool = False


class Menu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nodes: dict[_Name, Node]
    start: _Name = "main"
    between_keys_s: _Seconds = 3.0
    patience_s: _Seconds = 8.0


def load_menu(path: Path) -> Menu:
    """Raises UsageError naming the file and its first fault."""
    try:
        menu = msgspec.toml.decode(path.read_bytes(), type=Menu)
    except OSError as error:
        raise UsageError(f"menu {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"menu {path}: {error}") from None
    fault = _fault(menu)
    if fault:
        raise UsageError(f"menu {path}: {fault}")
    return menu


def render(menu: Menu, directory: Path, *, voice: str) -> dict[str, Sound]:
    """The prompt of each node that has one; files are looked for in `directory`. Blocks. Raises
    UsageError for what cannot be played or spoken."""
    sounds: dict[str, Sound] = {}
    for name, node in menu.nodes.items():
        try:
            if node.play:
                sounds[name] = load_sound(directory / node.play)
            elif node.say:
                sounds[name] = _spoken(node.say, voice)
        except AgentError as error:
            raise UsageError(f"menu: prompt {name}: {error}") from None
    return sounds


def _fault(menu: Menu) -> str:
    if menu.start not in menu.nodes:
        return f"start: there is no node {menu.start!r}"
    for name, node in menu.nodes.items():
        if node.say and node.play:
            return f"{name}: either say or play"
        if node.hang_up and node.keys:
            return f"{name}: either keys or hang_up"
        for keys, target in node.keys.items():
            if target not in menu.nodes:
                return f"{name}: {keys} leads to {target!r}, which is no node"
    return ""


def _spoken(text: str, voice: str) -> Sound:
    program = shutil.which(_SPEAKER)
    if program is None:
        raise AgentError(f"{_SPEAKER} is not on PATH: install it, or give files to play")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "spoken.wav")
        command: list[Any] = [program, "-v", voice, "-w", path, "--stdin"]
        try:
            subprocess.run(
                command,
                input=text.encode(),
                capture_output=True,
                check=True,
                timeout=_RENDER_TIMEOUT_S,
            )
        except subprocess.CalledProcessError as error:
            reason = re.sub(r"\s+", " ", error.stderr.decode(errors="replace")).strip()
            raise AgentError(f"{_SPEAKER}: {reason or 'failed'}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AgentError(f"{_SPEAKER}: {error}") from None
        return load_sound(path)
