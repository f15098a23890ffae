"""`trunkline call` as it is used: arguments in, text and exit code out, real sockets between."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.audio import AudioFormat
from ops.phone import command, speech, wav
from ops.phone import line as line_module
from ops.phone.dialects import known_dialects
from tests.ops.phone.codecs_for_tests import need_encoder
from tests.ops.phone.echo_edge import Conversation, EchoEdge, serving
from tests.ports import free_port
from workers.audio import amr_wb, codecs
from workers.audio.codec import Pcm

ROOT = Path(__file__).parents[3]
SPEECH = ROOT / "tests" / "fixtures" / "speech.wav"
PROGRAM = """
import argparse, sys
from ops.phone import command
parser = argparse.ArgumentParser()
command.add_arguments(parser)
sys.exit(command.run(parser.parse_args()))
"""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "QUIET_S", 0.5)
    monkeypatch.setattr(line_module, "LINGER_S", 1.5)
    monkeypatch.setattr(line_module, "ECHO_S", 1.5)


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="trunkline call")
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


class Output:
    """What the command printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def report(self) -> dict[str, Any]:
        captured = self._capsys.readouterr()
        assert captured.err == ""
        report: dict[str, Any] = json.loads(captured.out)
        return report

    def table(self) -> list[str]:
        return self._capsys.readouterr().out.splitlines()

    def failure(self) -> str:
        """The one line that says why nothing was done."""
        captured = self._capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("trunkline call: ")
        return captured.err.removeprefix("trunkline call: ").rstrip("\n")


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


def test_call_reports_an_echo(output: Output) -> None:
    with serving() as edge:
        assert call("twilio", "--url", edge.url, "--seconds", "0.3", "--expect", "echo") == 0
        edge.wait_until(lambda: edge.close_codes == [1000])
    lines = output.table()
    assert lines[1].split()[:5] == ["twilio", "1", "15", "15", "0"]
    assert lines[2] == "twilio 1: marks echo-10 played"


def test_recording_holds_what_was_heard_byte_for_byte(tmp_path: Path, output: Output) -> None:
    heard, again = tmp_path / "heard.wav", tmp_path / "again.wav"
    with serving() as edge:
        shared = ["twilio", "--url", edge.url, "--expect", "echo", "--seconds", "0.5"]
        assert call(*shared, "--play", str(SPEECH), "--record", str(heard)) == 0
        assert call(*shared, "--play", str(heard), "--record", str(again)) == 0
    assert heard.stat().st_size > 4000
    assert heard.read_bytes() == again.read_bytes()


def test_several_calls_of_several_providers(tmp_path: Path, output: Output) -> None:
    with serving() as edge:
        arguments = ["--url", edge.url, "--seconds", "0.2", "--calls", "2", "--json"]
        recording = ["--record", str(tmp_path / "heard.wav")]
        assert call("twilio,mesmer", *arguments, *recording) == 0
    report = output.report()
    assert [each["provider"] for each in report["calls"]] == ["twilio"] * 2 + ["mesmer"] * 2
    assert [each["call"] for each in report["calls"]] == [1, 2, 3, 4]
    assert report["total"]["frames_heard"] == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "heard-mesmer-1.wav",
        "heard-mesmer-2.wav",
        "heard-twilio-1.wav",
        "heard-twilio-2.wav",
    ]


@pytest.mark.parametrize(
    ("provider", "calls", "names"),
    [
        ("mesmer", "1", ["heard.wav"]),
        ("mesmer", "2", ["heard-1.wav", "heard-2.wav"]),
        ("mesmer,twilio", "1", ["heard-mesmer.wav", "heard-twilio.wav"]),
    ],
)
def test_names_of_recordings(
    tmp_path: Path, output: Output, provider: str, calls: str, names: list[str]
) -> None:
    with serving() as edge:
        recording = ["--record", str(tmp_path / "heard.wav")]
        shared = ["--url", edge.url, "--seconds", "0.02", "--calls", calls]
        assert call(provider, *shared, *recording) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("calls", [1, 4])
def test_all_is_calls_of_each_known_provider(tmp_path: Path, output: Output, calls: int) -> None:
    with serving() as edge:
        shared = ["--url", edge.url, "--calls", str(calls), "--expect", "echo", "--json"]
        recording = ["--record", str(tmp_path / "heard.wav")]
        assert call("all", *shared, "--play", str(SPEECH), "--seconds", "0.5", *recording) == 0
    report = output.report()
    providers = [name for name in known_dialects() for _ in range(calls)]
    assert [each["provider"] for each in report["calls"]] == providers
    assert all(each["sent_sha256"] == each["heard_sha256"] for each in report["calls"])
    for name, dialect in known_dialects().items():
        sent = b"".join(
            speech.from_wav(SPEECH, dialect.format, chunk_ms=dialect.chunk_ms, seconds=0.5)
        )
        for number in [""] if calls == 1 else [f"-{each}" for each in range(1, calls + 1)]:
            assert wav.read(tmp_path / f"heard-{name}{number}.wav", dialect.format) == sent


def test_keys_are_pressed_by_message_or_sound(output: Output) -> None:
    with serving() as edge:
        shared = ["--url", edge.url, "--seconds", "0.1", "--expect", "echo", "--json"]
        assert call("all", *shared, "--dtmf", "5#") == 0
    report = output.report()
    sounded = {each["provider"]: each["heard_digits"] for each in report["calls"]}
    assert sounded == {"mesmer": "5#", "sunvone": "", "telnyx": "", "twilio": "", "wavix": "5#"}
    pressed = {
        path: each.said("dtmf") for path, each in zip(edge.paths, edge.conversations, strict=True)
    }
    assert {path.rpartition("/")[2] for path, keys in pressed.items() if len(keys) == 2} == {
        "sunvone",
        "telnyx",
        "twilio",
    }


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("/", {"/"}),
        ("", {"/"}),
        ("/media/", {"/media/mesmer", "/media/twilio"}),
        ("/media/PROVIDER", {"/media/mesmer", "/media/twilio"}),
        ("/media/twilio", {"/media/twilio"}),
    ],
)
def test_where_providers_call(output: Output, path: str, called: set[str]) -> None:
    with serving() as edge:
        url = f"ws://127.0.0.1:{edge.port}{path}"
        assert call("mesmer,twilio", "--url", url, "--seconds", "0.02") == 0
    assert set(edge.paths) == called


def test_codec_is_chosen_where_there_is_a_choice(tmp_path: Path, output: Output) -> None:
    with serving() as edge:
        shared = ["--url", edge.url, "--seconds", "0.2", "--expect", "echo", "--json"]
        recording = ["--record", str(tmp_path / "heard.wav")]
        assert call("all", *shared, *recording, "--codec", "l16") == 0
        telnyx = edge.conversations[edge.paths.index("/media/telnyx")]
    (start,) = telnyx.said("start")
    assert start["start"]["media_format"] == {
        "encoding": "L16",
        "sample_rate": 16_000,
        "channels": 1,
    }
    with wave.open(str(tmp_path / "heard-telnyx.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnframes()) == (16_000, 2, 3200)


def chunks_of(edge: EchoEdge) -> list[list[int]]:
    """The numbers of the audio messages of each call, as they came."""
    return [
        [int(message["media"]["chunk"]) for message in each.said("media")]
        for each in edge.conversations
    ]


def test_shuffled_audio_is_the_same_audio(output: Output) -> None:
    orders = []
    for seed in (["--seed", "1"], [], ["--seed", "2"]):
        with serving() as edge:
            shared = ["telnyx", "--url", edge.url, "--seconds", "0.6", "--expect", "echo", "--json"]
            assert call(*shared, "--shuffle", "--calls", "2", *seed) == 0
        report = output.report()
        assert all(each["sent_sha256"] == each["heard_sha256"] for each in report["calls"])
        orders.append(sorted(chunks_of(edge)))
    first, default, other = orders
    assert first == default != other
    assert first[0] != first[1]
    assert all(set(chunks) == set(range(1, 31)) for chunks in first)


def test_with_all_the_others_keep_their_order(output: Output) -> None:
    with serving() as edge:
        shared = ["--url", edge.url, "--seconds", "0.4", "--expect", "echo", "--json"]
        assert call("all", *shared, "--shuffle") == 0
    assert output.report()["total"]["frames_lost"] == 0
    is_sorted = {
        path.rpartition("/")[2]: [message["media"]["payload"] for message in each.said("media")]
        for path, each in zip(edge.paths, edge.conversations, strict=True)
    }
    assert is_sorted["telnyx"] != is_sorted["twilio"] == is_sorted["mesmer"]


class _TheAgentEcho(Conversation):
    """What the built-in agent does at a key, with 3 frames always on their way."""

    async def on_frame(self, number: int, payload: str) -> None:
        self.queue = [*getattr(self, "queue", []), payload]
        while len(self.queue) > 3:
            await self.play(self.queue.pop(0))

    async def receive(self, message: dict[str, Any]) -> None:
        await super().receive(message)
        match message:
            case {"event": "dtmf", "dtmf": {"digit": "*"}}:
                self.queue.clear()
                await self.send(event="clear")
            case {"event": "dtmf", "dtmf": {"digit": "0"}}:
                await self.socket.close(code=1000)
            case {"event": "dtmf", "dtmf": {"digit": digit}}:
                await self.send(event="mark", mark={"name": f"dtmf-{digit}"})
            case {"event": "stop"}:
                pass


@pytest.mark.parametrize("expect", ["echo", "auto"])
def test_key_may_be_pressed_twice_clear_and_hang_up(output: Output, expect: str) -> None:
    with serving(_TheAgentEcho) as edge:
        shared = ["twilio", "--url", edge.url, "--seconds", "4", "--expect", expect, "--json"]
        assert call(*shared, "--dtmf", "121*0") == 0
    report = output.report()["calls"][0]
    assert report["marks"] == ["dtmf-1", "dtmf-2", "dtmf-1"]
    assert report["ending"] == "hung up by the agent"
    assert report["clears"] == 1
    # Three at each, and those that the phone said before it heard of it.
    assert report["frames_lost"] == 0
    assert 6 <= report["frames_cut_off"] <= 100


def test_keys_are_pressed(output: Output) -> None:
    with serving() as edge:
        assert call("twilio", "--url", edge.url, "--seconds", "0.02", "--dtmf", "1a#") == 0
        digits = [each["dtmf"]["digit"] for each in edge.conversations[0].said("dtmf")]
    assert digits == ["1", "A", "#"]


class _Deaf(Conversation):
    async def on_frame(self, number: int, payload: str) -> None:
        pass


def test_far_end_that_is_no_echo_behaves_unless_an_echo_is_expected(output: Output) -> None:
    with serving(_Deaf) as edge:
        shared = ["twilio", "--url", edge.url, "--seconds", "0.1", "--json"]
        assert call(*shared) == 0
        report = output.report()
        assert report["calls"][0]["frames_lost"] is None
        assert call(*shared, "--expect", "echo") == 1
        report = output.report()
        assert report["total"]["frames_lost"] == 5
        assert report["total"]["behaved"] is False


class _DropsOne(Conversation):
    async def play(self, payload: str) -> None:
        if self.frames != 2:
            await super().play(payload)


def test_misbehaviour_is_named_and_the_exit_code_tells(output: Output) -> None:
    with serving(_DropsOne) as edge:
        assert call("mesmer", "--url", edge.url, "--seconds", "0.2") == 1
    lines = output.table()
    assert lines[1].endswith("completed, did not behave")
    assert lines[-1] == "mesmer 1: 1 frame lost"


@pytest.fixture(scope="module")
def silent_port() -> int:
    """Nobody listens there."""
    return free_port()


def test_nobody_listens(output: Output, silent_port: int) -> None:
    url = f"ws://127.0.0.1:{silent_port}/media/twilio"
    assert call("twilio", "--url", url, "--calls", "3") == 1
    assert output.failure() == (
        f"nothing answers at {url}: connection refused; is 'trunkline up' running?"
    )


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (404, "it serves no provider at this path"),
        (503, "it takes no new calls now"),
        (401, "it wants authentication"),
        (200, "not a WebSocket"),
        (418, "not a WebSocket"),
    ],
)
def test_http_answer_instead_of_an_upgrade(output: Output, status: int, meaning: str) -> None:
    with serving() as edge:
        url = f"ws://127.0.0.1:{edge.port}/status/{status}"
        assert call("twilio", "--url", url) == 1
    assert output.failure() == f"{url} answers HTTP {status}: {meaning}"


def test_unknown_host(output: Output) -> None:
    assert call("twilio", "--url", "ws://no-such-host.invalid/") == 1
    assert "the host name 'no-such-host.invalid' is not known" in output.failure()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "unknown provider 'nobody'; known are"),
        (["twilio,"], "unknown provider ''"),
        (["twilio,twilio"], "names a provider twice"),
        (["twilio", "--calls", "0"], "--calls must be at least 1, not 0"),
        (["twilio", "--seconds", "0"], "--seconds must be more than 0, not 0"),
        (["twilio", "--seconds", "-1"], "not -1"),
        (["twilio", "--listen", "-1"], "--listen must be 0 or more, not -1"),
        (["twilio", "--listen", "nan"], "not nan"),
        (["twilio", "--seconds", "nan"], "not nan"),
        (["twilio", "--seconds", "inf"], "not inf"),
        (["twilio", "--dtmf", "12x"], "'X' is no key"),
        (["twilio", "--shuffle"], "--shuffle: twilio sends its audio in order"),
        (["telnyx,wavix", "--shuffle"], "wavix sends its audio in order"),
        (["telnyx", "--seed", "2"], "--seed says how to --shuffle"),
        (["telnyx", "--interrupt"], "--interrupt: telnyx never knows `interrupt`"),
        (["twilio", "--url", "http://127.0.0.1/"], "is no WebSocket URL"),
        (["twilio", "--url", "ws://"], "is no WebSocket URL"),
        (["twilio", "--url", "ws://host:port/"], "is no WebSocket URL"),
        (["twilio", "--url", "ws://[::1/"], "is no WebSocket URL"),
        (["twilio", "--play", "/nowhere/in.wav"], "/nowhere/in.wav: no such file"),
        (["twilio", "--play", __file__], "not a WAV file"),
        (["twilio", "--record", "/nowhere/heard.wav"], "cannot be written: no such file or dir"),
        (["twilio", "--record", "/"], "is a directory"),
        (["twilio", "--record", str(ROOT)], "cannot be written: is a directory"),
        (["twilio", "--record", f"{__file__}/heard.wav"], "cannot be written: not a directory"),
    ],
    ids=" ".join,
)
def test_faulty_arguments_are_one_line_before_anything_is_dialed(
    output: Output, arguments: list[str], words: str
) -> None:
    assert call(*arguments) == 1
    assert words in output.failure()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["telnyx", "--codec", "G729"], "known are PCMU, PCMA, G722, OPUS, OPUS/16000,"),
        (["all", "--codec", "G729"], "has no codec G729 to choose; known are PCMU, PCMA"),
        (["wavix", "--codec", "PCMA"], "wavix has no codec PCMA to choose"),
        (["telnyx,twilio", "--codec", "OPUS"], "twilio has no codec OPUS to choose"),
        (["sunvone", "--codec", "interrupt"], "no codec INTERRUPT"),
    ],
    ids=" ".join,
)
def test_codec_that_a_provider_has_not_is_one_line(
    output: Output, arguments: list[str], words: str
) -> None:
    assert call(*arguments) == 2
    assert words in output.failure()


def test_codec_that_this_machine_lacks_is_one_line(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amr_wb, "LIBRARY", "libnothing.so.0")
    amr_wb._library.cache_clear()
    assert call("telnyx", "--codec", "AMR-WB") == 2
    failure = output.failure()
    assert failure.startswith(
        "--codec: AMR-WB cannot be encoded: install Debian's libvo-amrwbenc0 (libnothing.so.0: "
    )
    amr_wb._library.cache_clear()


@pytest.mark.parametrize("codec", ["G722", "OPUS", "AMR-WB"])
def test_speech_is_recorded_as_the_caller_heard_it(
    tmp_path: Path, output: Output, codec: str
) -> None:
    need_encoder(known_dialects()["telnyx"].variants[codec].format)
    with serving() as edge:
        shared = ["telnyx", "--codec", codec, "--url", edge.url, "--expect", "echo", "--json"]
        recording = ["--play", str(SPEECH), "--seconds", "1", "--record", str(tmp_path / "a.wav")]
        assert call(*shared, *recording) == 0
    (report,) = output.report()["calls"]
    assert (report["frames_heard"], report["frames_lost"]) == (50, 0)
    said, heard = (samples_of(path) for path in (SPEECH, tmp_path / "a.wav"))
    assert len(heard) == 48_000
    assert best_correlation(said[:48_000], heard) > 0.95


def samples_of(path: Path) -> Pcm:
    """At a rate at which a fraction of a sample makes no difference."""
    fine = AudioFormat.pcm(48_000)
    return codecs.decode(wav.read(path, fine), fine)


def best_correlation(said: Pcm, heard: Pcm) -> float:
    """With the codec's own delay, up to 10 ms, taken out."""
    pairs = [(said[: len(said) - shift], heard[shift:]) for shift in range(480)]
    return max(float(np.corrcoef(a, b)[0, 1]) for a, b in pairs)


def test_checking_a_recording_leaves_no_trace(
    tmp_path: Path, output: Output, silent_port: int
) -> None:
    old, new = tmp_path / "old.wav", tmp_path / "new.wav"
    old.write_bytes(b"kept")
    for path in (old, new):
        url = f"ws://127.0.0.1:{silent_port}/"
        assert call("twilio", "--url", url, "--record", str(path)) == 1
    assert old.read_bytes() == b"kept"
    assert not new.exists()


def test_help_tells_how_recordings_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        call("--help")
    assert exited.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "HEARD-<provider>-1.WAV" in text
    assert "mesmer, sunvone, telnyx, twilio, wavix" in text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_hangs_up_and_still_reports(number: signal.Signals, code: int) -> None:
    with serving() as edge:
        arguments = ["twilio", "--url", edge.url, "--calls", "2", "--seconds", "60", "--json"]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            edge.wait_until(lambda: sum(each.frames > 10 for each in edge.conversations) == 2)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == code
        assert err == ""
        edge.wait_until(lambda: edge.close_codes == [1000, 1000])
        assert [len(each.said("stop")) for each in edge.conversations] == [1, 1]
    report = json.loads(out)
    assert [each["ending"] for each in report["calls"]] == ["interrupted", "interrupted"]
    assert 0 < report["total"]["frames_sent"] < 2 * 60 * 50
