from __future__ import annotations

import subprocess
import sys

import pytest

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from workers.audio import codecs
from workers.voice.late_decoder import LateDecoder


def test_it_is_the_decoder_of_its_format() -> None:
    decoder = LateDecoder(AudioFormat.pcmu())
    payload = bytes(range(160))
    assert decoder.rate_hz == 8000
    assert decoder.decode(payload).tolist() == codecs.decode(payload, decoder.format).tolist()
    assert decoder.opened is decoder.opened


def test_only_who_uses_it_is_told_that_there_is_none() -> None:
    decoder = LateDecoder(AudioFormat(Encoding.PCMU, 8000, channels=2))
    for use in (lambda: decoder.rate_hz, lambda: decoder.decode(b""), lambda: decoder.opened):
        with pytest.raises(AgentError, match="2 channels: one is needed"):
            use()


def test_several_threads_may_use_it() -> None:
    """In a process of its own, which would not survive it."""
    script = """
import threading
from common.audio import AudioFormat, Encoding
from workers.voice.late_decoder import LateDecoder

decoder, heard, start = LateDecoder(AudioFormat(Encoding.G722, 16_000)), [], threading.Barrier(4)

def hear():
    start.wait()
    heard.append(sum(len(decoder.decode(bytes(160))) for _ in range(5000)))

threads = [threading.Thread(target=hear) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*heard)
"""
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (ran.returncode, ran.stdout.split()) == (0, [str(5000 * 320)] * 4), ran.stderr
