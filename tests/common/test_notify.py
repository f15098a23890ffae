from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

import pytest

from common.notify import say_ready

READY = f"READY=1\nMAINPID={os.getpid()}\n".encode()


def test_it_is_said_to_the_socket_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        say_ready()
        assert listener.recv(100) == READY


def test_an_abstract_name_begins_with_an_at_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"trunkline-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        say_ready()
        assert listener.recv(100) == READY


def test_nobody_asked(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    say_ready()
    assert not caplog.records


def test_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nowhere"))
    say_ready()
    (record,) = caplog.records
    assert record.getMessage().startswith("cannot say that we are ready: ")


def test_whoever_does_not_read_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        while not caplog.records:  # until its queue is full
            say_ready()
