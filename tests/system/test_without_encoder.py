"""A worker that cannot encode AMR-WB, and what becomes of the calls in it.

The library is absent by the dynamic loader's own means: a file of its name, with nothing in it,
stands where the loader looks first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.phone.dialects import known_dialects
from tests.ops.phone.codecs_for_tests import need_encoder
from tests.system.processes import SPEECH, System, running, wait_until
from workers.audio.amr_wb import LIBRARY

AGENTS = '''
from workers import Agent, AudioFormat, Call, HeardAudio


class Listener(Agent):
    """Presses no key and plays nothing: tells by marks how much it has heard."""

    listen = AudioFormat.pcm(16_000)
    needs_encoder = False
    samples = 0

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        self.samples += len(audio.pcm)
        if audio.sequence == 100:
            await call.mark(f"heard {self.samples // 16} ms")
'''

CALL = ["telnyx", "--codec", "AMR-WB", "--play", str(SPEECH)]


@pytest.fixture
def system(redis_server_url: str, tmp_path: Path) -> Iterator[System]:
    need_encoder(known_dialects()["telnyx"].variants["AMR-WB"].format)  # the phone speaks it
    (tmp_path / "house.py").write_text(AGENTS)
    (tmp_path / "menu.toml").write_text(f'nodes.main = {{ play = "{SPEECH}" }}')
    with running(redis_server_url, tmp_path) as system:
        yield system


def start(system: System, agent: str, **settings: str) -> None:
    """With a worker of this agent, which does not find the library."""
    hidden = system.directory / "hidden"
    hidden.mkdir()
    (hidden / LIBRARY).touch()
    path = os.pathsep.join(filter(None, [str(hidden), os.environ.get("LD_LIBRARY_PATH")]))
    system.start(worker={"TRUNKLINE_AGENT": agent, "LD_LIBRARY_PATH": path, **settings})


@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        ("parrot", {}),
        ("dtmf_menu", {"TRUNKLINE_MENU_FILE": "menu.toml"}),
        ("recorder", {"TRUNKLINE_RECORDER_AGENT": "parrot"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_who_must_speak_is_told_once_and_the_call_ends_at_its_start(
    system: System, agent: str, settings: dict[str, str]
) -> None:
    start(system, agent, **settings)
    report = system.phone(*CALL).call(exits=1)
    assert report.close_code == 1011
    assert (report.frames_heard, report.marks) == (0, [])
    wait_until(lambda: "call finished" in system.worker.log)
    system.wait_until_no_call_is_left()
    log = system.worker.log
    said = "agent cannot have the call: AMR-WB cannot be encoded: install Debian's libvo-amrwbenc0"
    assert log.count("AMR-WB") == log.count(said) == 1
    assert "Traceback" not in log
    assert system.worker.metric("trunkline_worker_agent_failures_total") == 1
    assert system.edge.metric("trunkline_edge_calls_ended_total", reason="agent_failed") == 1


@pytest.mark.parametrize(
    ("agent", "marks"),
    [
        ("echo", ["echo-50", "echo-100", "echo-150"]),
        ("recorder", ["echo-50", "echo-100", "echo-150"]),
        ("house:Listener", ["heard 2000 ms"]),
    ],
)
def test_who_plays_nothing_or_what_it_hears_goes_on(
    system: System, agent: str, marks: list[str]
) -> None:
    start(system, agent)
    report = system.phone(*CALL).call()
    assert report.marks == marks
    system.wait_until_no_call_is_left()
    assert system.worker.metric("trunkline_worker_agent_failures_total") == 0
    assert "AMR-WB" not in system.worker.log
    if agent != "house:Listener":
        assert report.heard_sha256 == report.sent_sha256
