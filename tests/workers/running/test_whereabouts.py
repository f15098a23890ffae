from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from common.audio import AudioFormat
from tests.workers.calls import STARTED, Rig, audio, eventually
from workers.agent import Agent
from workers.agents.echo import Echo
from workers.audio.codec import Pcm
from workers.audio.sound import HeardAudio
from workers.call import Call
from workers.running import whereabouts
from workers.voice.late_decoder import LateDecoder

OpenRig = Callable[..., Rig]


async def deep_inside() -> None:
    await asyncio.Event().wait()


class Waiting(Agent):
    async def on_start(self, call: Call) -> None:
        await deep_inside()


async def test_a_waiting_handler_is_named_and_where_it_waits(rig: OpenRig) -> None:
    call = rig(Waiting)
    call.feed(STARTED)
    await call.handled()
    told = whereabouts.of_waiting(call.task)
    assert told["handler"] == "Waiting.on_start"
    assert told["at"].startswith("test_whereabouts.py:")
    assert told["inside"] == "Event.wait"


async def test_spawned_work_is_named(rig: OpenRig) -> None:
    tasks: list[asyncio.Task[None]] = []

    class Spawning(Agent):
        async def on_start(self, call: Call) -> None:
            tasks.append(call.spawn(deep_inside()))

    call = rig(Spawning)
    await call.handle(STARTED)
    assert whereabouts.of_waiting(tasks[0])["handler"] == "deep_inside"


async def test_between_handlers_nobody_is_named(rig: OpenRig) -> None:
    call = rig(Agent)
    await call.handle(STARTED)
    assert whereabouts.of_waiting(call.task) == {}


async def test_a_handler_that_runs_is_named_from_another_thread(rig: OpenRig) -> None:
    told: list[dict[str, str]] = []
    us = threading.get_ident()

    class Busy(Agent):
        async def on_start(self, call: Call) -> None:
            thread = threading.Thread(target=lambda: told.append(whereabouts.of_thread(us)))
            thread.start()
            thread.join()

    call = rig(Busy)
    call.feed(STARTED)
    await eventually(lambda: bool(told))
    assert told[0]["handler"].endswith("Busy.on_start")
    assert told[0]["at"].startswith("test_whereabouts.py:")


def test_a_thread_that_is_gone_is_nowhere() -> None:
    assert whereabouts.of_thread(0) == {}


async def test_what_the_worker_itself_does_for_a_handler_is_not_the_handler_s(
    rig: OpenRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    us, told = threading.get_ident(), []
    decode = LateDecoder.decode

    def slow(self: LateDecoder, payload: bytes) -> Pcm:
        told.append(whereabouts.of_thread(us))
        return decode(self, payload)

    class Listening(Agent):
        listen = AudioFormat.pcm(16_000)

    monkeypatch.setattr(LateDecoder, "decode", slow)
    call = rig(Listening)
    await call.handle(STARTED, audio())
    assert told == [{}]


async def test_an_agent_that_comes_with_the_worker_is_named(rig: OpenRig) -> None:
    us, told = threading.get_ident(), []

    def play(self: Call, audio: HeardAudio) -> Awaitable[None]:
        told.append(whereabouts.of_thread(us))
        return asyncio.sleep(0)

    call = rig(Echo)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Call, "play", play)
        await call.handle(STARTED, audio())
    assert told[0]["handler"] == "Echo.on_audio"
