"""A user's own agent, found in the worker's working directory."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.system.processes import System, running

AGENT = '''
import asyncio

import msgspec

from workers import Agent, AudioFormat, Call, DtmfReceived, HeardAudio, MarkReached


class Desk(Agent):
    """Echoes; counts its frames; obeys keys."""

    listen = AudioFormat.pcm(8000)

    class State(msgspec.Struct):
        heard: int = 0

    async def on_start(self, call: Call) -> None:
        await call.mark(f"hello-{call.provider}")

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        assert audio.pcm.shape == (160,)
        call.state.heard += 1
        await call.play(audio)

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        if dtmf.digit == "1":
            raise RuntimeError("handler")
        if dtmf.digit == "2":
            call.spawn(self.broken())
        if dtmf.digit == "3":
            await call.mark(await call.offload("{}-{}".format, "offloaded", 3))
        if dtmf.digit == "4":
            await asyncio.Event().wait()

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        if mark.name == f"hello-{call.provider}":
            await call.mark(f"{mark.name}-{mark.outcome}")

    async def broken(self) -> None:
        await asyncio.sleep(0.05)
        raise RuntimeError("spawned")
'''


@pytest.fixture(scope="module")
def desk(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("desk")
    (directory / "house.py").write_text(AGENT)
    with running(redis_server_url, directory) as system:
        settings = {"TRUNKLINE_AGENT": "house:Desk", "TRUNKLINE_END_TIMEOUT_S": "1"}
        yield system.start(worker=settings)


def test_an_agent_of_the_user_s_own_runs_its_calls(desk: System) -> None:
    phone = desk.phone("mesmer,twilio", "--seconds", "1", "--expect", "echo")
    for call in phone.report().calls:
        hello = f"hello-{call.provider}"
        assert call.behaved
        assert call.marks == [hello, f"{hello}-played"]
        assert call.sent_sha256 == call.heard_sha256
    desk.wait_until_no_call_is_left()
    assert desk.worker.metric("trunkline_worker_info", agent="house:Desk") == 1


def test_an_agent_that_raises_ends_its_own_call_and_no_other(desk: System) -> None:
    unharmed = desk.phone("twilio", "--seconds", "2", "--dtmf", "3", "--expect", "echo")
    raising = [desk.phone("twilio", "--seconds", "4", "--dtmf", key) for key in "12"]
    for phone in raising:
        call = phone.call(exits=1)
        assert (call.ending, call.close_code) == ("closed by the edge", 1011)
        assert call.frames_sent < 4 * 50
    call = unharmed.call()
    assert call.behaved
    assert "offloaded-3" in call.marks
    desk.wait_until_no_call_is_left()
    assert desk.worker.metric("trunkline_worker_agent_failures_total") == 2
    ended = desk.edge.metric("trunkline_edge_calls_ended_total", reason="agent_failed")
    assert ended == 2


def test_a_handler_that_never_returns_keeps_no_call(desk: System) -> None:
    """Nor where it has held up so many events that the worker reads no further."""
    desk.phone("twilio", "--seconds", "6", "--dtmf", "4").call(exits=1)
    desk.wait_until_no_call_is_left()
    assert desk.worker.metric("trunkline_worker_handlers_cut_total") == 1
    assert re.search(
        r"outlasts its call call=\w+ handler=Desk.on_dtmf at=house.py", desk.worker.log
    )
