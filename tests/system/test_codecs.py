"""Every codec of Telnyx through the whole system: what the caller hears is what was said.

An echo hands packets back as they are; an interpreter decodes them, brings them to its own rate and
back, and encodes them again: two generations, each with the codec's own delay and likeness.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from common.audio import AudioFormat
from common.errors import AgentError
from ops.phone import wav
from ops.phone.dialects import known_dialects
from ops.phone.report import CallReport
from tests.system.processes import SPEECH, System, running
from tests.workers.audio.likeness import likeness
from workers.audio import codecs
from workers.audio.codec import Pcm

AGENTS = f'''
import msgspec

from workers import Agent, AudioFormat, Call, DtmfReceived, HeardAudio, MarkReached, Sound, wav


class Interpreter(Agent):
    """Says everything again, in samples of its own."""

    listen = AudioFormat.pcm(24_000)

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        await call.play(audio.samples)


class Speaker(Agent):
    """Speaks for 3.5 s with a mark each half second, falls silent at a key, and tells by the names
    of other marks what became of them."""

    class State(msgspec.Struct):
        told: list[str] = []

    async def on_start(self, call: Call) -> None:
        speech = wav("{SPEECH}")
        for number in range(7):
            await call.play(Sound(speech.pcm[number * 4000 : (number + 1) * 4000], 8000))
            await call.mark(f"half-{{number}}")

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        if dtmf.digit == "5":
            await call.clear()

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        if not mark.name.startswith("half"):
            return
        call.state.told.append(f"{{mark.outcome}} {{mark.heard_ms}}")
        if len(call.state.told) == 7:
            for number, told in enumerate(call.state.told):
                await call.mark(f"{{number}} {{told}}")
'''


class Expected(NamedTuple):
    """Of one generation of speech: how alike it is at least, and its delay at most; of two: how
    alike they are. `half_s_ms`: how long half a second is, in whole packets with what the encoder
    looks ahead."""

    likeness: float
    delay_ms: float
    likeness_of_two: float
    half_s_ms: int


#: Delays are the codecs' own and 5 ms. What AMR-WB at 12.65 kbit/s makes of its own output is still
#: the same speech, but no longer as much the same wave.
CODECS = {
    "PCMU": Expected(0.99, 5.0, 0.99, 500),
    "PCMA": Expected(0.99, 5.0, 0.99, 500),
    "L16": Expected(0.99, 5.0, 0.99, 500),
    "G722": Expected(0.99, 6.4, 0.99, 500),
    "OPUS": Expected(0.95, 11.5, 0.95, 520),
    "AMR-WB": Expected(0.95, 11.0, 0.85, 520),
}
EVERY_CODEC = pytest.mark.parametrize("codec", CODECS)

FINE = AudioFormat.pcm(48_000)


class Outcome(NamedTuple):
    report: CallReport
    heard: Pcm


class Calls:
    """One in each codec that can be had, all at once, with an agent of their own."""

    def __init__(self, redis_url: str, directory: Path, agent: str, *arguments: str) -> None:
        (directory / "house.py").write_text(AGENTS)
        self._outcomes: dict[str, Outcome] = {}
        with running(redis_url, directory) as system:
            system.start(worker={"TRUNKLINE_AGENT": agent})
            self._call(system, arguments)
            self.complaints = system.complaints()

    def in_codec(self, codec: str) -> Outcome:
        """Skips the test where this machine lacks the codec."""
        if codec not in self._outcomes:
            pytest.skip(lack_of(codec))
        return self._outcomes[codec]

    def _call(self, system: System, arguments: tuple[str, ...]) -> None:
        recordings = {
            codec: system.directory / f"heard-{codec}.wav" for codec in CODECS if not lack_of(codec)
        }
        phones = {
            codec: system.phone("telnyx", "--codec", codec, "--record", str(path), *arguments)
            for codec, path in recordings.items()
        }
        for codec, phone in phones.items():
            report = phone.call(within_s=30.0)
            self._outcomes[codec] = Outcome(report, samples(recordings[codec]))


def lack_of(codec: str) -> str:
    """Why nothing can be said in this codec here; empty when it can."""
    try:
        codecs.open_encoder(known_dialects()["telnyx"].variants[codec].format)
    except AgentError as error:
        return str(error)
    return ""


def samples(path: Path) -> Pcm:
    """At a rate at which a fraction of a sample makes no difference."""
    return codecs.decode(wav.read(path, FINE), FINE)


@pytest.fixture(scope="module")
def echoed(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Calls:
    arguments = ["--play", str(SPEECH), "--expect", "echo"]
    return Calls(redis_server_url, tmp_path_factory.mktemp("echoed"), "echo", *arguments)


@pytest.fixture(scope="module")
def interpreted(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Calls:
    directory = tmp_path_factory.mktemp("interpreted")
    return Calls(redis_server_url, directory, "house:Interpreter", "--play", str(SPEECH))


@pytest.fixture(scope="module")
def interrupted(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Calls:
    arguments = ["--seconds", "2", "--dtmf", "15"]
    directory = tmp_path_factory.mktemp("interrupted")
    return Calls(redis_server_url, directory, "house:Speaker", *arguments)


@EVERY_CODEC
def test_echo_brings_back_every_packet_as_it_was(echoed: Calls, codec: str) -> None:
    report, heard = echoed.in_codec(codec)
    assert (report.frames_sent, report.frames_heard) == (187, 187)
    assert report.sent_sha256 == report.heard_sha256
    assert report.marks == ["echo-50", "echo-100", "echo-150"]
    assert set(report.mark_ends) == {"played"}
    found = likeness(samples(SPEECH), heard, FINE.rate_hz)
    print(f"{codec}: echoed, correlation {found.correlation:.4f}, {found.delay_ms:.2f} ms")
    assert found.correlation >= CODECS[codec].likeness
    assert found.delay_ms <= CODECS[codec].delay_ms
    assert echoed.complaints == []


@EVERY_CODEC
def test_speech_that_an_agent_hears_and_says_again_is_the_same(
    interpreted: Calls, codec: str
) -> None:
    report, heard = interpreted.in_codec(codec)
    assert report.faults == []
    found = likeness(samples(SPEECH), heard, FINE.rate_hz)
    print(f"{codec}: interpreted, correlation {found.correlation:.4f}, {found.delay_ms:.2f} ms")
    assert found.correlation >= CODECS[codec].likeness_of_two
    # Two resamplers of 3 ms each way, and a codec twice.
    assert found.delay_ms <= 2 * CODECS[codec].delay_ms + 12
    assert interpreted.complaints == []


@EVERY_CODEC
def test_clear_tells_how_much_was_heard(interrupted: Calls, codec: str) -> None:
    report, _ = interrupted.in_codec(codec)
    assert (report.faults, report.clears) == ([], 1)
    told = [mark.split() for mark in report.marks if mark[0].isdigit()]
    assert [number for number, _, _ in told] == [str(number) for number in range(7)]
    outcomes = [outcome for _, outcome, _ in told]
    played = outcomes.count("played")
    assert 0 < played < 7
    assert outcomes == ["played"] * played + ["cleared"] * (7 - played)
    heard_ms = [int(heard_ms) for _, _, heard_ms in told]
    half_s_ms = CODECS[codec].half_s_ms
    assert heard_ms[:played] == [half_s_ms] * played
    assert heard_ms[played] < half_s_ms
    assert set(heard_ms[played + 1 :]) <= {0}
    # What the agent was told, against what the phone played.
    assert abs(sum(heard_ms) - report.frames_heard * 20) <= 100
