"""Calls over a real socket and a real Redis; what needs neither stands in `test_stream.py`."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode

import pytest
from aiohttp import WSMsgType
from redis.asyncio import Redis

from common.commands import ClearPlayback, Command, HangUp, PlayAudio, SendDtmf, SetMark
from common.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    DtmfReceived,
    EndReason,
    Event,
    MarkOutcome,
    MarkReached,
    ProviderFailed,
)
from edge import app
from edge.stream import Stream
from tests.chaos_proxy import ChaosProxy
from tests.edge.calls import FRAME, Caller, Closed, RunningEdge, counted, running_edge
from tests.edge.dummy import DummyAdapter
from tests.waiting import until

SECOND = PlayAudio(b"\x55" * 8000)


def started_metric() -> float:
    return counted("trunkline_edge_calls_started_total", provider="twilio")


async def test_events_of_a_call_are_stored_in_order(edge: RunningEdge) -> None:
    caller, call = await edge.call()
    for _ in range(3):
        await caller.speak()
    await caller.press("5")
    await caller.stop()
    start, *audio, key, end = await call.events(last=CallEnded)
    assert isinstance(start, CallStarted)
    assert (start.provider, start.provider_call_id) == ("twilio", "CA1")
    assert audio == [AudioReceived(FRAME, 20 * n, n + 1) for n in range(3)]
    assert (key, end) == (DtmfReceived("5"), CallEnded(EndReason.CALLER_HUNG_UP))
    assert await caller.closed() == Closed(1000, "")


async def test_commands_of_the_worker_arrive_on_the_socket(edge: RunningEdge) -> None:
    caller, call = await edge.call()
    await call.ask(PlayAudio(b"\xff\x7f\x00"), SetMark("hello"))
    assert await caller.hear() == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": "/38A"},
    }
    assert await caller.hear() == {"event": "mark", "streamSid": "MZ1", "mark": {"name": "hello"}}
    await caller.give_back("hello")
    events = await call.events(last=MarkReached)
    assert events[-1] == MarkReached("hello", MarkOutcome.PLAYED, 0)


async def test_clear_overtakes_queued_audio(edge: RunningEdge) -> None:
    caller, call = await edge.call()
    await call.ask(*[SECOND] * 10, SetMark("end"))
    assert (await caller.hear())["event"] == "media"
    await call.ask(ClearPlayback())
    heard = await caller.hear_until("clear")
    assert len(heard) < 100  # of 500 frames
    (mark,) = [e for e in await call.events(last=MarkReached) if isinstance(e, MarkReached)]
    assert (mark.name, mark.outcome) == ("end", MarkOutcome.CLEARED)
    await call.ask(PlayAudio(b"\x01"))
    assert (await caller.hear())["media"] == {"payload": "AQ=="}


async def test_command_that_the_provider_lacks_is_told_to_the_worker(edge: RunningEdge) -> None:
    _, call = await edge.call()
    await call.ask(SendDtmf("1"))
    (failed,) = [e for e in await call.events(ProviderFailed) if isinstance(e, ProviderFailed)]
    assert (failed.code, failed.title) == ("unsupported_command", "SendDtmf")


async def test_agent_hangs_up_after_the_last_word(edge: RunningEdge) -> None:
    caller, call = await edge.call()
    await call.ask(PlayAudio(b"\x55" * 800), HangUp(detail="bye"))
    assert (await caller.hear())["event"] == "media"
    assert await caller.closed() == Closed(1000, "")
    assert (await call.events(last=CallEnded))[-1] == CallEnded(EndReason.AGENT_HUNG_UP, "bye")


async def test_agent_that_failed_closes_1011(edge: RunningEdge) -> None:
    caller, call = await edge.call()
    await call.ask(HangUp(EndReason.AGENT_FAILED, "boom"))
    assert await caller.closed() == Closed(1011, "boom")


async def test_socket_that_the_caller_closes_ends_the_call(edge: RunningEdge) -> None:
    caller, call = await edge.call()
    await caller.socket.close(code=1001)
    events = await call.events(last=CallEnded)
    assert events[-1] == CallEnded(EndReason.CONNECTION_LOST, "close code 1001")


async def test_socket_that_breaks_ends_the_call(edge: RunningEdge) -> None:
    caller, call = await edge.call()
    await call.ask(SetMark("left"))
    await caller.hear()
    assert caller.socket._response.connection is not None
    caller.socket._response.connection.transport.abort()  # type: ignore[union-attr]
    *_, mark, ended = await call.events(last=CallEnded)
    assert mark == MarkReached("left", MarkOutcome.LOST)
    assert isinstance(ended, CallEnded)
    assert ended.reason is EndReason.CONNECTION_LOST


async def test_calls_do_not_hear_each_other(edge: RunningEdge) -> None:
    calls = [await edge.call() for _ in range(5)]
    for number, (_, call) in enumerate(calls):
        await call.ask(SetMark(str(number)))
    heard = [(await caller.hear())["mark"]["name"] for caller, _ in calls]
    assert heard == ["0", "1", "2", "3", "4"]


async def test_call_that_nobody_takes_is_closed_1013_and_leaves_no_key(redis_url: str) -> None:
    async with running_edge(redis_url, take_timeout_s=0.1) as edge:
        caller = await (await edge.connect()).start()
        assert await caller.closed() == Closed(1013, "no worker")
        assert await edge.worker.keys_left() == []
        not_taken = {"provider": "twilio", "reason": "not_taken"}
        assert counted("trunkline_edge_calls_ended_total", **not_taken) >= 1


async def test_call_that_was_taken_in_time_goes_on(redis_url: str) -> None:
    async with running_edge(redis_url, take_timeout_s=1.0) as edge:
        caller, call = await edge.call()
        await asyncio.sleep(1.2)  # the time to take it passes
        await call.ask(SetMark("still here"))
        assert (await caller.hear())["event"] == "mark"


async def test_caller_who_hangs_up_before_anybody_took_the_call_leaves_no_key(
    redis_url: str,
) -> None:
    async with running_edge(redis_url, take_timeout_s=0.2) as edge:
        caller = await (await edge.connect()).start()
        await caller.stop()
        await caller.closed()

        async def is_clean() -> bool:
            return await edge.worker.keys_left() == []

        await until(is_clean)


async def test_worker_that_finishes_a_call_under_way_is_a_call_lost(edge: RunningEdge) -> None:
    caller, call = await edge.call()
    await call.finish()
    await caller.speak()
    assert await caller.closed() == Closed(1011, "call lost")
    assert await edge.worker.keys_left() == []


async def test_caller_who_vanishes_in_silence_is_not_blamed_for_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_HEARTBEAT_S", 0.5)
    blamed = {"provider": "twilio", "reason": "websocket_error"}
    before = counted("trunkline_edge_ignored_total", **blamed)
    async with running_edge(redis_url) as edge:
        _, call = await edge.call(autoping=False)
        ended = (await call.events(last=CallEnded))[-1]
        assert ended == CallEnded(EndReason.CONNECTION_LOST, "close code 1006")
        assert counted("trunkline_edge_ignored_total", **blamed) == before


class TestNoStart:
    async def test_silent_socket_is_closed_1008(self, redis_url: str) -> None:
        before = counted("trunkline_edge_calls_refused_total", reason="no_start")
        async with running_edge(redis_url, start_timeout_s=0.1) as edge:
            slow, caller = await edge.connect(), await edge.connect()
            assert await caller.closed() == Closed(1008, "no start")
            await asyncio.sleep(0.6)  # the other does not answer the close yet
            assert await slow.closed() == Closed(1008, "no start")
        assert counted("trunkline_edge_calls_refused_total", reason="no_start") == before + 2

    async def test_socket_that_talks_but_never_starts_is_closed_1008(self, redis_url: str) -> None:
        async with running_edge(redis_url, start_timeout_s=0.3) as edge:
            caller = await edge.connect()
            talking = asyncio.create_task(talk(caller))
            assert await caller.closed() == Closed(1008, "no start")
            talking.cancel()

    async def test_call_that_falls_silent_is_closed(self, redis_url: str) -> None:
        async with running_edge(redis_url, idle_timeout_s=1.0) as edge:
            caller, call = await edge.call()
            assert await caller.closed() == Closed(1008, "no message")
            ended = (await call.events(last=CallEnded))[-1]
            assert ended == CallEnded(EndReason.CONNECTION_LOST, "no message")


async def talk(caller: Caller) -> None:
    while not caller.socket.closed:
        await caller.say(event="connected")
        await asyncio.sleep(0.02)


class TestBadInput:
    async def test_message_of_the_limit_is_heard(self, edge: RunningEdge) -> None:
        caller, call = await edge.call()
        frame = '{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"5"},"x":"'
        await caller.socket.send_str(frame.ljust(65_534, "x") + '"}')
        assert (await call.events(last=DtmfReceived))[-1] == DtmfReceived("5")

    async def test_message_beyond_the_limit_is_closed_1009(self, edge: RunningEdge) -> None:
        caller, call = await edge.call()
        await caller.socket.send_str("x" * 65_537)
        assert (await caller.closed()).code == 1009
        ended = (await call.events(last=CallEnded))[-1]
        assert isinstance(ended, CallEnded)
        assert ended.reason is EndReason.PROTOCOL_VIOLATED

    async def test_peer_that_is_still_sending_is_told_why_it_is_closed(
        self, edge: RunningEdge
    ) -> None:
        """A reset would tell it nothing."""
        caller, _ = await edge.call()
        await caller.socket.send_str("x" * 1_000_000)
        assert (await caller.closed()).code == 1009

    async def test_log_repeats_nothing_of_a_broken_frame(
        self, edge: RunningEdge, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        caller, call = await edge.call()
        await caller.socket.send_frame(b"S", WSMsgType.CLOSE)
        assert (await caller.closed()).code == 1002
        ended = (await call.events(last=CallEnded))[-1]
        assert ended == CallEnded(EndReason.PROTOCOL_VIOLATED, "broken frame")
        assert "bytearray" not in " ".join(str(vars(record)) for record in caplog.records)

    async def test_binary_message_is_closed_1003(self, edge: RunningEdge) -> None:
        caller, call = await edge.call()
        await caller.socket.send_bytes(FRAME)
        assert (await caller.closed()).code == 1003
        ended = (await call.events(last=CallEnded))[-1]
        assert isinstance(ended, CallEnded)
        assert ended.reason is EndReason.PROTOCOL_VIOLATED

    async def test_text_that_is_not_utf_8_is_closed_1007(self, edge: RunningEdge) -> None:
        caller, _ = await edge.call()
        await caller.socket.send_frame(b'{"event":"\xff"}', WSMsgType.TEXT)
        assert (await caller.closed()).code == 1007

    async def test_media_before_the_start_is_closed_1008(self, edge: RunningEdge) -> None:
        caller = await edge.connect()
        await caller.speak()
        assert (await caller.closed()).code == 1008
        assert await edge.worker.keys_left() == []

    async def test_second_start_is_closed_1008(self, edge: RunningEdge) -> None:
        caller, _ = await edge.call()
        await caller.start()
        assert await caller.closed() == Closed(1008, "start while open")

    async def test_start_of_another_stream_is_counted_and_the_call_lives(
        self, edge: RunningEdge
    ) -> None:
        other = {"provider": "twilio", "reason": "other_stream"}
        before = counted("trunkline_edge_ignored_total", **other)
        caller, call = await edge.call()
        await caller.say(event="start", streamSid="MZ2", start={"streamSid": "MZ2"})
        await caller.press("5")
        await call.events(last=DtmfReceived)
        assert counted("trunkline_edge_ignored_total", **other) == before + 1

    async def test_id_of_ten_kilobytes_is_closed_1008(self, edge: RunningEdge) -> None:
        caller = await (await edge.connect()).start(call_sid="x" * 10_000)
        assert await caller.closed() == Closed(1008, "invalid id")

    async def test_five_bad_frames_are_closed_1008(self, edge: RunningEdge) -> None:
        caller, _ = await edge.call()
        for _ in range(5):
            await caller.socket.send_str("{")
        assert await caller.closed() == Closed(1008, "too many messages: malformed")

    async def test_compression_is_not_offered(self, edge: RunningEdge) -> None:
        caller = await edge.connect(compress=15)
        assert caller.socket.compress == 0

    async def test_compressed_frame_is_closed_1002(self, edge: RunningEdge) -> None:
        caller, _ = await edge.call()
        await caller.socket.send_frame(b"{}", WSMsgType.TEXT, compress=15)
        assert (await caller.closed()).code == 1002

    async def test_other_calls_do_not_notice(self, edge: RunningEdge) -> None:
        caller, call = await edge.call()
        bad = await (await edge.connect()).start()
        await bad.socket.send_bytes(b"x")
        await bad.closed()
        await caller.press("1")
        assert (await call.events(last=DtmfReceived))[-1] == DtmfReceived("1")


async def test_fault_of_ours_ends_this_call_with_1011_and_no_other(
    edge: RunningEdge, caplog: pytest.LogCaptureFixture
) -> None:
    good, good_call = await edge.call()
    bad = await edge.connect("/media/dummy")
    await bad.socket.send_str("start")
    bad_call = await edge.worker.take()
    await bad.socket.send_str("crash")
    assert await bad.closed() == Closed(1011, "")
    assert (await bad_call.events(last=CallEnded))[-1] == CallEnded(EndReason.EDGE_FAILED)
    assert "session failed" in caplog.text
    await good.press("1")
    await good_call.events(last=DtmfReceived)


async def test_command_that_trips_over_a_fault_of_ours_ends_its_own_call_only(
    edge: RunningEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is carried out by the reader of the whole lane."""
    bad, bad_call = await edge.call()
    good, good_call = await edge.call()
    obey = Stream.command

    def trip(self: Stream, command: Command, *, now: float) -> list[Event]:
        if command == SetMark("bad"):
            raise RuntimeError("a fault of ours")
        return obey(self, command, now=now)

    monkeypatch.setattr(Stream, "command", trip)
    await bad_call.ask(SetMark("bad"))
    assert (await bad.closed()).code == 1011
    assert (await bad_call.events(last=CallEnded))[-1] == CallEnded(EndReason.EDGE_FAILED)
    await good_call.ask(SetMark("good"))
    assert (await good.hear())["mark"] == {"name": "good"}


async def test_call_whose_commands_are_no_stream_is_ended_and_the_others_go_on(
    edge: RunningEdge, redis: Redis
) -> None:
    ended = {"provider": "twilio", "reason": "edge_failed"}
    before = counted("trunkline_edge_calls_ended_total", **ended)
    bad, bad_call = await edge.call()
    good, good_call = await edge.call()
    await redis.set(bad_call.keys.commands, "no stream")
    assert await bad.closed() == Closed(1011, "commands unreadable")
    assert counted("trunkline_edge_calls_ended_total", **ended) == before + 1
    await good_call.ask(SetMark("good"))
    assert (await good.hear())["mark"] == {"name": "good"}


async def test_ping_of_the_provider_is_answered(edge: RunningEdge) -> None:
    caller = await edge.connect(autoping=False)
    await caller.start()
    await caller.socket.ping(b"there?")
    answer = await caller.socket.receive(20.0)
    assert (answer.type, answer.data) == (WSMsgType.PONG, b"there?")


async def test_binary_audio_reaches_a_provider_of_binary_audio(redis_url: str) -> None:
    async with running_edge(redis_url, adapter=DummyAdapter()) as edge:
        caller = await edge.connect("/media/dummy")
        await caller.socket.send_str("start")
        call = await edge.worker.take()
        await call.ask(PlayAudio(b"\x55" * 160))
        assert await caller.socket.receive_bytes() == b"\x55" * 160


async def test_log_tells_the_call_but_neither_audio_nor_digits(
    edge: RunningEdge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caller, call = await edge.call()
    await caller.speak(b"payload!")
    await caller.press("7")
    await caller.socket.send_str("nonsense from outside")
    await caller.stop()
    await call.events(last=CallEnded)
    ours = [record for record in caplog.records if record.name.startswith(("edge", "common"))]
    messages = [record.message for record in ours if record.message != "messages ignored"]
    assert messages == ["call started", "call ended"]
    facts = " ".join(str(vars(record)) for record in ours)
    assert "CA1" in facts
    assert "payload" not in facts
    assert "nonsense" not in facts


async def test_counters_go_up(edge: RunningEdge) -> None:
    labels = {"provider": "twilio"}
    series = [
        ("trunkline_edge_calls_started_total", labels),
        ("trunkline_edge_calls_ended_total", {**labels, "reason": "caller_hung_up"}),
        ("trunkline_edge_audio_in_bytes_total", labels),
        ("trunkline_edge_messages_out_total", labels),
        ("trunkline_edge_ignored_total", {**labels, "reason": "malformed"}),
        ("trunkline_edge_marks_total", {**labels, "outcome": "cleared"}),
        ("trunkline_edge_clear_to_silence_seconds_count", labels),
    ]
    before = [counted(name, **with_labels) for name, with_labels in series]
    caller, call = await edge.call()
    await caller.speak()
    await caller.socket.send_str("{")
    await call.ask(SetMark("a"))
    await caller.hear_until("mark")
    await call.ask(ClearPlayback())
    await caller.hear_until("clear")
    assert counted("trunkline_edge_calls", **labels) == 1
    await caller.stop()
    await caller.closed()
    after = [counted(name, **with_labels) for name, with_labels in series]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 160, 2, 1, 1, 1]
    assert counted("trunkline_edge_calls", **labels) == 0


class TestOutage:
    async def test_events_of_an_outage_are_stored_after_it(self, redis_url: str) -> None:
        async with (
            ChaosProxy.in_front_of(redis_url) as proxy,
            running_edge(redis_url, through=proxy, redis_timeout_ms=2000) as edge,
        ):
            caller, call = await edge.call()
            await proxy.go_away()
            for _ in range(10):
                await caller.speak()
            await until(lambda: not edge.lanes.are_answering())
            await proxy.come_back()
            await caller.press("5")

            async def key_is_stored() -> bool:
                return edge.lanes.are_answering() and DtmfReceived("5") in await call.stored()

            await until(key_is_stored)
            audio = [e for e in await call.stored() if isinstance(e, AudioReceived)]
            assert [event.sequence for event in audio] == list(range(1, 11))

    async def test_audio_that_was_read_before_an_outage_is_played_in_it(
        self, redis_url: str
    ) -> None:
        async with (
            ChaosProxy.in_front_of(redis_url) as proxy,
            running_edge(redis_url, through=proxy, redis_timeout_ms=2000, lead_ms=20) as edge,
        ):
            caller, call = await edge.call()
            await call.ask(PlayAudio(b"\x55" * 4000), SetMark("end"))
            first = await caller.hear()
            await proxy.go_away()
            *heard, _ = [first, *await caller.hear_until("mark")]
            assert b"".join(b64decode(each["media"]["payload"]) for each in heard) == b"\x55" * 4000
            await proxy.come_back()

    async def test_outage_that_lasts_too_long_ends_calls_1011(self, redis_url: str) -> None:
        async with (
            ChaosProxy.in_front_of(redis_url) as proxy,
            running_edge(
                redis_url, through=proxy, redis_timeout_ms=2000, outage_timeout_s=1.0
            ) as edge,
        ):
            caller, call = await edge.call()
            await proxy.go_away()
            assert await caller.closed() == Closed(1011, "no storage")
            await proxy.come_back()
            await until(edge.lanes.are_answering)
            ended = (await call.events(last=CallEnded))[-1]
            assert ended == CallEnded(EndReason.EDGE_FAILED, "no storage")

    async def test_reply_that_gets_lost_stores_no_event_twice(self, redis_url: str) -> None:
        async with (
            ChaosProxy.in_front_of(redis_url) as proxy,
            running_edge(redis_url, through=proxy) as edge,
        ):
            caller, call = await edge.call()
            lost = proxy.drop_next_reply(to=b"XADD")
            await caller.speak()
            await asyncio.wait_for(lost.wait(), 20)
            await caller.stop()
            events = await call.events(last=CallEnded)
            assert [type(event) for event in events] == [CallStarted, AudioReceived, CallEnded]
