from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.notify import say_ready
from ops.notices import Notices


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[Notices]:
    listening = Notices(tmp_path / "notify")
    yield listening
    listening.close()


def say(path: Path, text: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(text, str(path))


def test_what_our_processes_say_is_understood(
    notices: Notices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notices.ready() == set()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    say_ready()
    assert notices.ready() == {os.getpid()}
    assert notices.ready() == {os.getpid()}


def test_several_speak(notices: Notices, tmp_path: Path) -> None:
    say(tmp_path / "notify", b"READY=1\nMAINPID=7\n")
    say(tmp_path / "notify", b"MAINPID=8\nSTATUS=taking calls\nREADY=1")
    assert notices.ready() == {7, 8}


@pytest.mark.parametrize(
    "notice", [b"STOPPING=1\nMAINPID=7\n", b"READY=1\n", b"READY=10\nMAINPID=7", b"\xff\x00"]
)
def test_anything_else_is_passed_over(notices: Notices, tmp_path: Path, notice: bytes) -> None:
    say(tmp_path / "notify", notice)
    say(tmp_path / "notify", b"READY=1\nMAINPID=9\n")
    assert notices.ready() == {9}
