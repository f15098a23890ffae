"""Every codec of Telnyx through the whole system: what the caller hears is what was said.

An echo hands packets back as they are; an interpreter decodes them, brings them to its own rate and
back, and encodes them again, and so does a parrot, once the caller is silent: two generations, each
with the codec's own delay and likeness. A recorder writes down both sides.
"""

from __future__ import annotations

import re
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from common.audio import AudioFormat
from common.errors import AgentError
from ops.phone import wav
from ops.phone.dialects import known_dialects
from ops.phone.report import CallReport
from tests.system.processes import SPEECH, System, running
from tests.workers.audio.likeness import Likeness, likeness, likeness_in_pieces, resampled
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

#: At this rate a fraction of a sample makes no difference.
FINE = AudioFormat.pcm(48_000)


class Outcome(NamedTuple):
    """`recorded`: where a recorder wrote the call down."""

    report: CallReport
    heard: Pcm
    recorded: Path


class Calls:
    """One in each codec that can be had, all at once, with an agent of their own."""

    def __init__(
        self, redis_url: str, directory: Path, agent: str, *arguments: str, **settings: str
    ) -> None:
        (directory / "house.py").write_text(AGENTS)
        self._outcomes: dict[str, Outcome] = {}
        with running(redis_url, directory) as system:
            system.start(worker={"TRUNKLINE_AGENT": agent, **settings})
            self._call(system, arguments)
            system.wait_until_no_call_is_left()
            self.complaints = system.complaints()

    def in_codec(self, codec: str) -> Outcome:
        """Skips the test where this machine lacks the codec."""
        if codec not in self._outcomes:
            pytest.skip(lack_of(codec))
        return self._outcomes[codec]

    def _call(self, system: System, arguments: tuple[str, ...]) -> None:
        paths = {
            codec: system.directory / f"heard-{codec}.wav" for codec in CODECS if not lack_of(codec)
        }
        phones = {
            codec: system.phone("telnyx", "--codec", codec, "--record", str(path), *arguments)
            for codec, path in paths.items()
        }
        reports = {codec: phone.call(within_s=90.0) for codec, phone in phones.items()}
        ids = re.findall(r"call started call=(\w+) .* format=(\S+)", system.edge.log)
        recorded = {audio_format: system.directory / f"{call}.wav" for call, audio_format in ids}
        self._outcomes = {
            codec: Outcome(report, samples(paths[codec]), recorded[report.codec])
            for codec, report in reports.items()
        }


def lack_of(codec: str) -> str:
    """Why nothing can be said in this codec here; empty when it can."""
    try:
        codecs.open_encoder(known_dialects()["telnyx"].variants[codec].format)
    except AgentError as error:
        return str(error)
    return ""


def samples(path: Path) -> Pcm:
    return codecs.decode(wav.read(path, FINE), FINE)


def sides(path: Path) -> tuple[Pcm, Pcm]:
    """The caller and the agent, as they were recorded."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        caller, agent = (
            resampled(np.ascontiguousarray(side), file.getframerate(), FINE.rate_hz)
            for side in pcm.T
        )
    return caller, agent


def likeness_to_speech(heard: Pcm, *, max_delay_ms: float = 60) -> Likeness:
    return likeness(samples(SPEECH), heard, FINE.rate_hz, max_delay_ms=max_delay_ms)


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
    arguments = ["--seconds", "3", "--dtmf", "11115"]  # after 1.3 s, of 3.5
    directory = tmp_path_factory.mktemp("interrupted")
    return Calls(redis_server_url, directory, "house:Speaker", *arguments)


@pytest.fixture(scope="module")
def parroted(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """The caller says it once, listens for 5 s, and is recorded meanwhile."""
    directory = tmp_path_factory.mktemp("parroted")
    plain = AudioFormat.pcm(8000)
    wav.write(directory / "said.wav", wav.read(SPEECH, plain) + bytes(5 * 16_000), plain)
    return Calls(
        redis_server_url,
        directory,
        "recorder",
        *["--play", str(directory / "said.wav")],
        TRUNKLINE_RECORDER_AGENT="parrot",
        TRUNKLINE_RECORDER_DIR=str(directory),
    )


@EVERY_CODEC
def test_echo_brings_back_every_packet_as_it_was(echoed: Calls, codec: str) -> None:
    report, heard, _ = echoed.in_codec(codec)
    assert (report.frames_sent, report.frames_heard) == (187, 187)
    assert report.sent_sha256 == report.heard_sha256
    assert report.marks == ["echo-50", "echo-100", "echo-150"]
    assert set(report.mark_ends) == {"played"}
    found = likeness_to_speech(heard)
    print(f"{codec}: echoed, correlation {found.correlation:.4f}, {found.delay_ms:.2f} ms")
    assert found.correlation >= CODECS[codec].likeness
    assert found.delay_ms <= CODECS[codec].delay_ms
    assert echoed.complaints == []


@EVERY_CODEC
def test_speech_that_an_agent_hears_and_says_again_is_the_same(
    interpreted: Calls, codec: str
) -> None:
    report, heard, _ = interpreted.in_codec(codec)
    assert report.faults == []
    # The first frame that is late is filled up with silence, wherever that is: from there on all is
    # a few milliseconds later.
    found = likeness_in_pieces(samples(SPEECH), heard, FINE.rate_hz, torn=1)
    print(f"{codec}: interpreted, correlation {found.correlation:.4f}, {found.delay_ms:.2f} ms")
    assert found.correlation >= CODECS[codec].likeness_of_two
    # Two resamplers of 3 ms each way, and a codec twice.
    assert found.delay_ms <= 2 * CODECS[codec].delay_ms + 12
    assert interpreted.complaints == []


@EVERY_CODEC
def test_parrot_says_back_what_the_caller_said(parroted: Calls, codec: str) -> None:
    report, heard, _ = parroted.in_codec(codec)
    assert (report.faults, report.marks) == ([], ["utterance-1"])
    # It begins with what was noticed as speech, so it may well be ahead.
    found = likeness(heard, samples(SPEECH), FINE.rate_hz, max_delay_ms=500)
    later = likeness_to_speech(heard)
    found = max(found, later)
    print(f"{codec}: parroted, correlation {found.correlation:.4f} of {len(heard) / 48:.0f} ms")
    assert found.correlation >= CODECS[codec].likeness_of_two
    assert len(heard) >= 3.3 * FINE.rate_hz


@EVERY_CODEC
def test_recorder_has_both_sides_where_they_were_heard(parroted: Calls, codec: str) -> None:
    _, heard, recorded = parroted.in_codec(codec)
    caller, agent = sides(recorded)
    said = likeness_to_speech(caller)
    again = likeness(heard, agent, FINE.rate_hz, max_delay_ms=8000)
    print(
        f"{codec}: recorded, caller {said.correlation:.4f}, {said.delay_ms:.2f} ms, "
        f"agent {again.correlation:.4f}, {again.delay_ms:.0f} ms"
    )
    assert said.correlation >= CODECS[codec].likeness
    assert said.delay_ms <= CODECS[codec].delay_ms + 6  # there and back, a filter of 3 ms
    assert again.correlation >= 0.99
    assert 3700 <= again.delay_ms <= 6000  # once the caller had been silent for a while
    assert parroted.complaints == []


@EVERY_CODEC
def test_clear_tells_how_much_was_heard(interrupted: Calls, codec: str) -> None:
    report, _, _ = interrupted.in_codec(codec)
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
