from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ops

_TETHER = Path(ops.__file__).parent / "tether.py"
# A parent that starts a tethered process, waits until it runs, and is killed. The tethered one
# inherits our pipe: its end is the end of the pipe.
_PARENT = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-IS", *sys.argv[1:]], stdin=subprocess.PIPE)
os.read(0, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a service of Linux")
def test_a_tethered_process_ends_with_its_parent() -> None:
    command = ["sh", "-c", "echo runs; exec sleep 60"]
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, _TETHER, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"runs\n"
        parent.stdin.write(b"!")
        parent.stdin.flush()
        assert parent.wait(timeout=60) == -signal.SIGKILL
        began = time.monotonic()
        assert parent.stdout.read() == b""
        assert time.monotonic() - began < 50


def test_the_command_keeps_its_arguments_environment_and_exit_code() -> None:
    command = ["sh", "-c", 'echo "$WORD $1"; exit 7', "sh", "two words"]
    done = subprocess.run(
        [sys.executable, "-IS", _TETHER, *command],
        capture_output=True,
        text=True,
        env={"WORD": "said", "PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("said two words\n", "", 7)


def test_a_command_that_is_not_there_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-IS", _TETHER, "/no/such/command"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stderr, done.returncode) == ("/no/such/command: No such file or directory\n", 1)
