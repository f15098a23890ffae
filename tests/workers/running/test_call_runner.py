from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import msgspec
import pytest

from common.audio import AudioFormat, Encoding
from common.bus import CommitAnswer
from common.commands import Command, HangUp, SetMark
from common.errors import WireError
from common.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    DtmfReceived,
    EndReason,
    Event,
    MarkReached,
    ProviderFailed,
)
from common.wire import encode_event
from tests.workers.calls import ENDED, STARTED, Rig, audio, claim, eventually, within
from workers import metrics
from workers.agent import Agent
from workers.audio.sound import HeardAudio
from workers.call import Call

OpenRig = Callable[..., Rig]

EVERY_EVENT: list[Event] = [
    STARTED,
    audio(),
    DtmfReceived("5"),
    MarkReached("m"),
    ProviderFailed("code"),
    ENDED,
]
HANDLERS = ["on_start", "on_audio", "on_dtmf", "on_mark", "on_error", "on_stop"]


def agent_failed(name: str) -> list[Command]:
    return [HangUp(EndReason.AGENT_FAILED, name)]


def marks(*names: str) -> list[Command]:
    return [SetMark(name) for name in names]


class Diary(Agent):
    """Notes which handlers ran."""

    seen: ClassVar[list[str]]

    def __init__(self) -> None:
        type(self).seen = []

    async def on_start(self, call: Call) -> None:
        self.seen.append("on_start")

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        self.seen.append("on_audio")

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        self.seen.append("on_dtmf")

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        self.seen.append("on_mark")

    async def on_error(self, call: Call, error: ProviderFailed) -> None:
        self.seen.append("on_error")

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        self.seen.append("on_stop")


def with_handler(name: str, handler: Callable[..., Any], **attributes: Any) -> type[Agent]:
    return type("Custom", (Diary,), {name: handler, **attributes})


async def test_every_event_has_its_handler_and_the_runner_ends_with_the_call(rig: OpenRig) -> None:
    call = rig(Diary)
    call.feed(*EVERY_EVENT)
    await call.ended()
    assert Diary.seen == HANDLERS


async def test_handlers_run_one_after_another(rig: OpenRig) -> None:
    running, most = 0, 0

    async def on_audio(self: Agent, call: Call, audio: HeardAudio) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1

    call = rig(with_handler("on_audio", on_audio))
    call.feed(STARTED, *[audio(number) for number in range(1, 20)], ENDED)
    await call.ended()
    assert most == 1


class Hesitating(Agent):
    """Sets a mark, waits for permission, sets another."""

    go_on: asyncio.Event

    def __init__(self) -> None:
        type(self).go_on = asyncio.Event()

    async def on_start(self, call: Call) -> None:
        await call.mark("before")
        await call.mark("middle")
        await self.go_on.wait()
        await call.mark("after")


async def test_commands_leave_while_the_handler_runs_and_the_cursor_when_it_has_returned(
    rig: OpenRig,
) -> None:
    call = rig(Hesitating)
    call.feed(STARTED)
    await call.handled()
    step, commands = call.commit()
    assert step is not None
    assert (step.number, step.cursor, step.partial) == (1, 0, 2)
    assert commands == marks("before", "middle")

    Hesitating.go_on.set()
    await call.handled()
    step, commands = call.commit()
    assert step is not None
    assert (step.number, step.cursor, step.partial) == (2, 1, 0)
    assert commands == marks("after")


@pytest.mark.parametrize("issued", range(4))
async def test_what_the_owner_before_has_issued_is_not_issued_again(
    rig: OpenRig, issued: int
) -> None:
    call = rig(Hesitating, claim(partial=issued))
    call.feed(STARTED)
    await call.handled()
    Hesitating.go_on.set()
    await call.handled()
    assert call.commit()[1] == marks("before", "middle", "after")[issued:]


async def test_partial_goes_on_from_the_owner_before(rig: OpenRig) -> None:
    call = rig(Hesitating, claim(partial=1))
    call.feed(STARTED)
    await call.handled()
    step, commands = call.commit()
    assert step is not None
    assert (step.cursor, step.partial) == (0, 2)
    assert commands == marks("middle")


async def test_a_shorter_second_run_of_a_handler_takes_nothing_from_the_next(rig: OpenRig) -> None:
    async def on_dtmf(self: Agent, call: Call, dtmf: DtmfReceived) -> None:
        await call.mark(dtmf.digit)

    call = rig(with_handler("on_dtmf", on_dtmf), claim(cursor=1, partial=3))
    commands = await call.handle(DtmfReceived("1"), DtmfReceived("2"))
    assert commands == marks("2")


async def test_commands_of_spawned_work_are_not_partial(rig: OpenRig) -> None:
    async def on_start(self: Agent, call: Call) -> None:
        async def beside() -> None:
            await call.mark("beside")

        call.spawn(beside())
        await asyncio.sleep(0)
        await call.mark("within")
        await asyncio.Event().wait()

    call = rig(with_handler("on_start", on_start))
    call.feed(STARTED)
    await call.handled()
    step, commands = call.commit()
    assert step is not None
    assert (step.cursor, step.partial) == (0, 1)
    assert commands == marks("beside", "within")


async def test_spawned_work_is_not_taken_for_what_was_issued_before(rig: OpenRig) -> None:
    async def on_start(self: Agent, call: Call) -> None:
        async def beside() -> None:
            await call.mark("beside")

        await call.spawn(beside())
        await call.mark("within")

    call = rig(with_handler("on_start", on_start), claim(partial=1))
    assert await call.handle(STARTED) == marks("beside")


async def test_a_task_that_outlives_its_handler_is_not_partial(rig: OpenRig) -> None:
    """Only `call.spawn` is meant to outlive a handler; a bare task must not corrupt the count."""
    tasks = []
    go_on = asyncio.Event()

    async def on_start(self: Agent, call: Call) -> None:
        async def later() -> None:
            await go_on.wait()
            await call.mark("later")

        tasks.append(asyncio.create_task(later()))

    call = rig(with_handler("on_start", on_start))
    assert await call.handle(STARTED) == []
    go_on.set()
    await within(asyncio.gather(*tasks))
    step, commands = call.commit()
    assert step is not None
    assert (step.partial, commands) == (0, marks("later"))


async def test_a_command_for_another_call_is_not_partial_there(rig: OpenRig) -> None:
    calls: list[Call] = []

    async def on_start(self: Agent, call: Call) -> None:
        calls.append(call)
        await calls[0].mark(call.id)
        await asyncio.Event().wait()

    agent = with_handler("on_start", on_start)
    first, second = rig(agent), rig(agent)
    first.feed(STARTED)
    await first.handled()
    assert first.commit()[1] == marks("c1")
    second.feed(STARTED)
    await second.handled()
    step, commands = first.commit()
    assert step is not None
    assert (step.partial, commands) == (1, marks("c1"))
    assert second.commit()[0] is None


class Counting(Agent):
    class State(msgspec.Struct):
        digits: str = ""

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        if dtmf.digit != "#":
            call.state.digits += dtmf.digit


async def test_state_is_stored_when_it_has_changed(rig: OpenRig) -> None:
    call = rig(Counting)
    call.feed(STARTED, DtmfReceived("7"))
    await call.handled()
    step, _ = call.commit()
    assert step is not None
    assert step.state is not None
    assert msgspec.msgpack.decode(step.state, type=Counting.State).digits == "7"

    call.feed(DtmfReceived("#"))
    await call.handled()
    step, _ = call.commit()
    assert step is not None
    assert (step.cursor, step.state) == (3, None)


async def test_stored_state_is_what_the_next_owner_begins_with(rig: OpenRig) -> None:
    stored = msgspec.msgpack.encode(Counting.State("12"))
    call = rig(Counting, claim(cursor=3, state=stored))
    call.feed(DtmfReceived("3"))
    await call.handled()
    step, _ = call.commit()
    assert step is not None
    assert step.state == msgspec.msgpack.encode(Counting.State("123"))


async def test_an_agent_without_state_stores_none(rig: OpenRig) -> None:
    call = rig(Diary)
    call.feed(STARTED)
    await call.handled()
    step, _ = call.commit()
    assert step is not None
    assert step.state is None


@pytest.mark.parametrize("name", HANDLERS)
async def test_an_agent_that_raises_ends_its_own_call_and_nothing_else(
    rig: OpenRig, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Agent, call: Call, *event: object) -> None:
        raise ZeroDivisionError

    failures = metrics.AGENT_FAILURES._value.get()
    agent = with_handler(name, broken)
    call = rig(agent)
    failing = HANDLERS.index(name)
    commands = await call.handle(*EVERY_EVENT[: failing + 1])
    if name == "on_stop":
        assert commands == []  # the call is over
    else:
        assert commands == agent_failed("ZeroDivisionError")
    # It goes on reading, without the agent, to the end of the call.
    assert await call.handle(*EVERY_EVENT[failing + 1 :]) == []
    await call.ended()
    assert agent.seen == HANDLERS[:failing]  # type: ignore[attr-defined]
    assert metrics.AGENT_FAILURES._value.get() == failures + 1
    assert [record.message for record in caplog.records] == ["agent failed"]


async def test_what_a_handler_issued_before_it_raised_is_kept(rig: OpenRig) -> None:
    async def on_start(self: Agent, call: Call) -> None:
        await call.mark("sorry")
        raise ValueError

    call = rig(with_handler("on_start", on_start))
    assert await call.handle(STARTED) == [*marks("sorry"), *agent_failed("ValueError")]


async def test_spawned_work_that_raises_ends_the_call(rig: OpenRig) -> None:
    async def on_start(self: Agent, call: Call) -> None:
        async def broken() -> None:
            raise KeyError("x")

        call.spawn(broken())

    agent = with_handler("on_start", on_start)
    call = rig(agent)
    assert await call.handle(STARTED) == agent_failed("KeyError")
    assert await call.handle(audio()) == []
    call.feed(ENDED)
    await call.ended()
    assert agent.seen == []  # type: ignore[attr-defined]


async def test_two_failures_end_the_call_once(rig: OpenRig) -> None:
    async def on_start(self: Agent, call: Call) -> None:
        async def broken() -> None:
            raise KeyError("x")

        call.spawn(broken())
        call.spawn(broken())

    call = rig(with_handler("on_start", on_start))
    assert await call.handle(STARTED) == agent_failed("KeyError")


async def test_an_agent_that_cannot_be_made_ends_the_call(rig: OpenRig) -> None:
    class Unmade(Agent):
        def __init__(self) -> None:
            raise RuntimeError("no model")

    call = rig(Unmade)
    assert await call.handle(STARTED) == agent_failed("RuntimeError")
    call.feed(ENDED)
    await call.ended()


async def test_stored_state_that_is_none_ends_the_call(rig: OpenRig) -> None:
    call = rig(Counting, claim(cursor=1, state=b"\xc1"))
    assert await call.handle(audio()) == agent_failed("DecodeError")


async def test_state_that_cannot_be_stored_ends_the_call(rig: OpenRig) -> None:
    async def on_start(self: Agent, call: Call) -> None:
        call.state.digits = object()

    call = rig(with_handler("on_start", on_start, State=Counting.State))
    assert await call.handle(STARTED) == agent_failed("TypeError")
    call.feed(ENDED)
    await call.ended()


async def test_awaiting_work_that_was_cancelled_is_a_failure_of_the_agent(rig: OpenRig) -> None:
    """How barge-in is easily written; the call must not just fall silent."""

    async def on_start(self: Agent, call: Call) -> None:
        speaking = call.spawn(asyncio.sleep(10))
        speaking.cancel()
        await speaking

    call = rig(with_handler("on_start", on_start))
    assert await call.handle(STARTED) == agent_failed("CancelledError")
    call.feed(ENDED)
    await call.ended()


async def test_cancelling_the_runner_ends_it_in_the_middle_of_a_handler(rig: OpenRig) -> None:
    call = rig(Hesitating)
    call.feed(STARTED)
    await call.handled()
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.ended()


async def test_spawned_tasks_are_cancelled_when_the_call_is_over(rig: OpenRig) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def on_start(self: Agent, call: Call) -> None:
        tasks.append(call.spawn(asyncio.sleep(60)))

    call = rig(with_handler("on_start", on_start))
    call.feed(STARTED, ENDED)
    await call.ended()
    assert tasks[0].cancelled()


async def test_nothing_is_committed_once_the_call_is_over(rig: OpenRig) -> None:
    call = rig(Diary)
    call.feed(STARTED)
    await call.handled()
    step = call.runner.next_commit(now=1.0)
    assert step is not None  # on its way
    call.feed(ENDED)
    await call.ended()
    assert call.runner.answered(CommitAnswer.COMMITTED)
    assert call.runner.is_settled
    assert call.runner.next_commit(now=9.0) is None


async def test_an_unreadable_entry_is_counted_and_skipped(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = metrics.EVENTS_UNREADABLE._value.get()
    call = rig(Diary)
    call.feed(STARTED)
    call.feed_raw(b"\xc1", b"", encode_event(audio(), at_ms=0)[:-1])
    call.feed(audio())
    await call.handled()
    step, _ = call.commit()
    assert step is not None
    assert step.cursor == 5
    assert Diary.seen == ["on_start", "on_audio"]
    assert metrics.EVENTS_UNREADABLE._value.get() == unreadable + 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3


async def test_an_entry_is_never_logged_with_its_audio(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    call = rig(Diary)
    call.feed_raw(encode_event(audio(1, b"SECRETAUDIO"), at_ms=0)[:-1])
    await call.handled()
    assert "SECRETAUDIO" not in caplog.text


def test_a_call_that_does_not_begin_with_a_start_is_refused(executor: ThreadPoolExecutor) -> None:
    with pytest.raises(WireError, match="a call begins with AudioReceived"):
        Rig(Diary, executor, claim(started=audio()))


async def test_offload_runs_in_a_thread_of_the_pool(rig: OpenRig) -> None:
    names = []

    async def on_start(self: Agent, call: Call) -> None:
        names.append(await call.offload(lambda: threading.current_thread().name))
        await call.mark("done")

    call = rig(with_handler("on_start", on_start))
    call.feed(STARTED)
    await eventually(lambda: bool(names))
    assert names[0].startswith("offload")


async def test_the_loop_goes_on_while_work_is_offloaded(rig: OpenRig) -> None:
    release = threading.Event()

    async def on_start(self: Agent, call: Call) -> None:
        await call.offload(release.wait, 5.0)
        await call.mark("done")

    blocked, other = rig(with_handler("on_start", on_start)), rig(Diary)
    blocked.feed(STARTED)
    other.feed(*EVERY_EVENT)
    await other.ended()
    assert blocked.commit()[0] is None
    release.set()
    await eventually(lambda: blocked.progressed > 0)
    assert blocked.commit()[1] == marks("done")


async def test_listening_to_what_cannot_be_had_is_said_once_and_ends_the_call(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    agent = with_handler("on_mark", Diary.on_mark, listen=AudioFormat.pcmu())
    call = rig(agent)
    failures = metrics.AGENT_FAILURES._value.get()
    assert await call.handle(*EVERY_EVENT[:-1]) == agent_failed("agent cannot have it")
    call.feed(ENDED)
    await call.ended()
    assert agent.seen == []  # type: ignore[attr-defined]
    (record,) = caplog.records
    assert record.getMessage() == (
        "agent cannot have the call: Custom listens to PCMU/8000: what can be had is "
        "AudioFormat.pcm(rate), 4000 to 192000 Hz"
    )
    assert record.exc_info is None
    assert metrics.AGENT_FAILURES._value.get() == failures + 1


async def test_the_next_owner_must_be_able_to_encode_too(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    mp3 = CallStarted("telnyx", AudioFormat.pcmu(), play_format=AudioFormat(Encoding.MP3, 44_100))
    agent = with_handler("on_resumed", Diary.on_resumed)
    call = rig(agent, claim(cursor=4, started=mp3))
    assert await call.handle(audio(1)) == agent_failed("agent cannot have it")
    assert agent.seen == []  # type: ignore[attr-defined]
    assert "agent cannot have the call: there is no encoder for MP3/44100" in caplog.text


async def test_listening_at_any_rate_is_fine(rig: OpenRig) -> None:
    call = rig(with_handler("on_mark", Diary.on_mark, listen=AudioFormat.pcm(16_000)))
    assert await call.handle(STARTED) == []


async def test_lag_is_the_age_of_the_event_being_handled(rig: OpenRig) -> None:
    lags = []

    async def on_dtmf(self: Agent, call: Call, dtmf: DtmfReceived) -> None:
        lags.append(call.lag_ms)

    call = rig(with_handler("on_dtmf", on_dtmf))
    far_future_ms = 10**14
    call.feed(DtmfReceived("1"))
    call.feed_raw(encode_event(DtmfReceived("2"), at_ms=far_future_ms))
    await call.handled()
    assert lags[0] > 10**12  # the event is of 1970
    assert lags[1] == 0  # clocks of two machines differ; lag is never negative


@pytest.mark.parametrize("tracks", [["inbound"], ["outbound"], ["inbound", "outbound"]])
async def test_only_the_tracks_that_the_agent_asks_for_are_heard(
    rig: OpenRig, tracks: list[str]
) -> None:
    class Listener(Agent):
        async def on_audio(self, call: Call, audio: HeardAudio) -> None:
            await call.mark(audio.track)

    Listener.tracks = frozenset(tracks)
    call = rig(Listener)
    events = [AudioReceived(b"\xff", 0, 1, track=track) for track in ("inbound", "outbound")]
    assert await call.handle(STARTED, *events) == marks(*tracks)


async def test_an_agent_that_exits_ends_its_call_only(rig: OpenRig) -> None:
    class Quitter(Agent):
        async def on_start(self, call: Call) -> None:
            raise SystemExit(3)

    call = rig(Quitter)
    assert await call.handle(STARTED) == agent_failed("SystemExit")


async def test_spawned_work_that_exits_ends_its_call_only(rig: OpenRig) -> None:
    class Quitter(Agent):
        async def on_start(self, call: Call) -> None:
            call.spawn(self.quit())

        async def quit(self) -> None:
            raise SystemExit(3)

    call = rig(Quitter)
    assert await call.handle(STARTED) == agent_failed("AgentError")


async def test_spawned_work_that_will_not_end_does_not_hold_the_call(
    rig: OpenRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.running.spawned._END_S", 0.01)
    may_end = asyncio.Event()

    class Stubborn(Agent):
        async def on_start(self, call: Call) -> None:
            call.spawn(self.stay())

        async def stay(self) -> None:
            while not may_end.is_set():
                try:
                    await may_end.wait()
                except asyncio.CancelledError:
                    continue

    call = rig(Stubborn)
    await call.handle(STARTED)
    call.feed(ENDED)
    await call.ended()
    may_end.set()


async def test_a_state_of_another_version_that_does_not_fit_is_one_line_and_ends_the_call(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    class Retyped(Diary):
        class State(msgspec.Struct):
            turns: str = ""

    call = rig(Retyped, claim(cursor=4, state=msgspec.msgpack.encode({"turns": 3})))
    assert await call.handle(audio(1)) == agent_failed("agent cannot have it")
    (record,) = caplog.records
    assert "does not fit Retyped.State: Expected `str`, got `int`" in record.getMessage()
    assert record.exc_info is None
