"""The agents that come with Trunkline, called by every provider."""

from __future__ import annotations

import re
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.audio import AudioFormat
from edge.providers import providers
from ops.phone import wav
from tests.system.processes import SPEECH, Phone, Process, System, running, wait_until
from tests.workers.audio.likeness import likeness
from workers.audio import codecs
from workers.audio.codec import Pcm
from workers.audio.dtmf_detector import DtmfDetector
from workers.audio.dtmf_tones import dtmf_tones

PLAIN = AudioFormat.pcm(8000)

#: What a caller hears tells which branch this is: each prompt but the first presses keys itself.
MENU = """
between_keys_s = 1.0

[nodes.main]
play = "hum.wav"
keys = { 1 = "one", 2 = "two", "12#" = "vault" }

[nodes.one]
play = "111.wav"
hang_up = true

[nodes.two]
play = "222.wav"
hang_up = true

[nodes.vault]
play = "789.wav"
hang_up = true
"""
HUM_S = 10


def samples(path: Path) -> Pcm:
    return codecs.decode(wav.read(path, PLAIN), PLAIN)


def write(path: Path, *parts: Pcm) -> Path:
    wav.write(path, codecs.encode(np.concatenate(parts), PLAIN), PLAIN)
    return path


def silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * PLAIN.rate_hz), np.int16)


@pytest.fixture(scope="module")
def menu(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("menu")
    (directory / "menu.toml").write_text(MENU)
    hum = 3000 * np.sin(2 * np.pi * 300 * np.arange(HUM_S * PLAIN.rate_hz) / PLAIN.rate_hz)
    write(directory / "hum.wav", hum.astype(np.int16))
    for keys in ("111", "222", "789"):
        write(directory / f"{keys}.wav", dtmf_tones(keys, PLAIN.rate_hz))
    with running(redis_server_url, directory) as system:
        settings = {"TRUNKLINE_AGENT": "dtmf_menu", "TRUNKLINE_MENU_FILE": "menu.toml"}
        yield system.start(worker=settings)


@pytest.mark.parametrize(("pressed", "heard"), [("12#", "789"), ("2", "222"), ("1", "111")])
def test_keys_reach_the_right_branch_on_every_provider(
    menu: System, tmp_path: Path, pressed: str, heard: str
) -> None:
    recording = tmp_path / "heard.wav"
    url = f"ws://{menu.host}/media/"
    arguments = ["--url", url, "--seconds", "6", "--dtmf", pressed, "--record", str(recording)]
    report = Phone("all", *arguments).report()
    assert {call.provider for call in report.calls} == set(providers())
    for call in report.calls:
        assert (call.ending, call.faults) == ("hung up by the agent", []), call
        pcm = samples(recording.with_stem(f"heard-{call.provider}"))
        assert "".join(DtmfDetector(PLAIN.rate_hz).process(pcm)) == heard, call.provider
        # The first prompt was cut short by the first key.
        assert len(pcm) < HUM_S * PLAIN.rate_hz / 2
    menu.wait_until_no_call_is_left()
    assert menu.complaints() == []


def test_a_menu_that_cannot_be_is_said_before_the_first_call(system: System) -> None:
    (system.directory / "menu.toml").write_text("[nodes.main]\nplay = 'nowhere.wav'\n")
    worker = system.start_worker(TRUNKLINE_AGENT="dtmf_menu", TRUNKLINE_MENU_FILE="menu.toml")
    assert worker.exit_code() == 1
    assert worker.log == (
        "trunkline worker: menu: prompt main: nowhere.wav: No such file or directory\n"
    )


def test_a_parrot_that_is_interrupted_falls_silent_and_knows_how_much_was_heard(
    system: System,
) -> None:
    """The caller speaks, waits until the parrot is in the middle of it, and speaks again."""
    system.start(worker={"TRUNKLINE_AGENT": "parrot"})
    speech = samples(SPEECH)
    said = write(
        system.directory / "said.wav", silence(0.3), speech, silence(3.0), speech, silence(5.5)
    )
    url = f"ws://{system.host}/media/"
    report = Phone("all", "--url", url, "--play", str(said)).report(within_s=90.0)
    assert {call.provider for call in report.calls} == set(providers())
    for call in report.calls:
        assert call.faults == []
        # Where a clear reaches no provider, the phone cannot know of one.
        assert call.clears == (call.provider != "sunvone")
    told = re.findall(r"said back .* mark=(\S+) heard_ms=(\d+) outcome=(\w+)", system.worker.log)
    assert len(told) == 2 * len(report.calls)
    for mark, heard_ms, outcome in told:
        if mark == "utterance-1":
            assert outcome == "cleared"
            assert 0 <= int(heard_ms) < 3700  # about 2300
        else:
            assert outcome == "played"
            assert 3700 < int(heard_ms) < 4500
    system.wait_until_no_call_is_left()
    assert system.complaints() == []


def owner(system: System) -> Process:
    """The worker that runs the call."""

    def found() -> Process | None:
        return next((w for w in system.workers if w.metric("trunkline_worker_calls")), None)

    process = wait_until(found)
    assert process is not None
    return process


@pytest.mark.parametrize("provider", ["twilio", "wavix"])
def test_a_recording_has_no_hole_where_a_worker_died(system: System, provider: str) -> None:
    system.start(workers=2, worker={"TRUNKLINE_AGENT": "recorder"})
    phone = system.phone(provider, "--play", str(SPEECH), "--expect", "echo")
    worker = owner(system)
    directory = system.directory / "recordings"
    (recording,) = wait_until(lambda: list(directory.glob("*.wav")))
    wait_until(lambda: recording.stat().st_size > 60_000)
    worker.kill()
    (survivor,) = (each for each in system.workers if each is not worker)
    call = phone.call()
    assert (call.frames_lost, call.frames_repeated) == (0, 0)
    assert survivor.metric("trunkline_worker_takeovers_total") == 1
    system.wait_until_no_call_is_left()
    with wave.open(str(recording)) as file:
        rate_hz = file.getframerate()
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    said = wav.read(SPEECH, AudioFormat.pcm(rate_hz))
    original = codecs.decode(said, AudioFormat.pcm(rate_hz))
    caller, agent = (np.ascontiguousarray(side) for side in pcm.T)
    assert len(caller) == pytest.approx(len(original), abs=rate_hz // 50)
    heard = likeness(original, caller, rate_hz)
    assert heard.correlation > 0.995
    assert heard.delay_ms < 1
    # An echo has said again, a frame later, all that it could before the call ended.
    again = likeness(original, agent, rate_hz, max_delay_ms=100)
    assert again.correlation > 0.99
