"""Bad input, row by row: what may come, and the exact answer.

The rows are those of the reliability notes, 4.2: B6 to B18 and B20; B4 and B5, which are no
WebSocket yet, stand in `tests/edge/test_app.py`. Where a provider speaks no text, or numbers
nothing, a row says nothing about it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from common.commands import PlayAudio, SetMark
from common.events import AudioReceived, CallEnded, CallStarted, EndReason, MarkReached
from edge.adapter import Message
from edge.stream import Close, Stream
from tests.contract.call import Call
from tests.contract.running_edge import (
    CONTINUATION,
    TEXT,
    Peer,
    RunningEdge,
    keys_of_calls,
    running_edge,
)
from tests.contract.samples import PROVIDERS, sample
from tests.waiting import until

JSON_PROVIDERS = [name for name in PROVIDERS if sample(name).is_text]
BINARY_PROVIDERS = [name for name in PROVIDERS if not sample(name).is_text]
NUMBERING = ["telnyx", "twilio", "wavix"]

every_provider = pytest.mark.parametrize("provider", PROVIDERS)
every_json_provider = pytest.mark.parametrize("provider", JSON_PROVIDERS)
every_numbering_provider = pytest.mark.parametrize("provider", NUMBERING)

NESTED = "[" * 100_000 + "]" * 100_000


def media(provider: str, **fields: Any) -> str:
    told = sample(provider)
    return told.changed(told.media, **fields)


def frames(call: Call) -> list[AudioReceived]:
    return [event for event in call.events if isinstance(event, AudioReceived)]


def is_alive(call: Call) -> bool:
    return call.stream.close is None


class TestB8:
    @every_provider
    def test_media_before_the_start_closes_1008(self, provider: str) -> None:
        told = sample(provider)
        for early in (told.media, told.key or told.media, told.echo or told.media):
            stream = Stream(told.adapter(), lead_ms=200)
            assert stream.receive(early, now=0.0) == []
            assert stream.close is not None
            assert stream.close.code == 1008

    @every_provider
    def test_second_start_closes_1008(self, provider: str) -> None:
        call = Call(sample(provider))
        call.hear(sample(provider).start)
        assert call.stream.close == Close(1008, "start while open")
        assert call.ends == [CallEnded(EndReason.PROTOCOL_VIOLATED, "start while open")]

    @every_provider
    def test_start_of_another_stream_is_counted_and_the_call_lives(self, provider: str) -> None:
        told = sample(provider)
        call = Call(told)
        (started,) = call.events
        assert isinstance(started, CallStarted)
        call.hear(told.start.replace(started.provider_stream_id, "another"))
        assert call.stream.ignored == {"other_stream": 1}
        call.hear(told.media)
        assert len(frames(call)) == 1
        assert is_alive(call)

    @every_json_provider
    def test_message_of_another_stream_is_counted_and_the_call_lives(self, provider: str) -> None:
        told = sample(provider)
        call = Call(told)
        of_another = [
            message.replace(stream_of(call), "another")
            for message in (told.media, told.key, told.echo, told.stop)
            if isinstance(message, str)
        ]
        call.hear(*of_another)
        assert call.stream.ignored == {"other_stream": len(of_another)}
        assert is_alive(call)

    @every_json_provider
    def test_message_of_no_stream_is_counted_and_the_call_lives(self, provider: str) -> None:
        told = sample(provider)
        call = Call(told)
        nameless = [
            message.replace(stream_of(call), "")
            for message in (told.media, told.key, told.echo)
            if isinstance(message, str)
        ]
        call.hear(*nameless)
        assert call.stream.ignored == {"no_id": len(nameless)}
        assert is_alive(call)


def stream_of(call: Call) -> str:
    started = call.events[0]
    assert isinstance(started, CallStarted)
    return started.provider_stream_id


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[RunningEdge]:
    async with running_edge(redis_url) as edge:
        yield edge


async def open_call(peer: Peer, provider: str = "twilio") -> Peer:
    for message in sample(provider).opening:
        peer.say(message)
    return peer


async def leaves_nothing(redis: Redis) -> bool:
    return not await keys_of_calls(redis)


class TestB6AndB7:
    @pytest.mark.parametrize("path", ["/media/twilio", "/media/telnyx", "/media/wavix"])
    async def test_socket_that_says_nothing_is_closed_1008(
        self, redis_url: str, redis: Redis, path: str
    ) -> None:
        async with running_edge(redis_url, start_timeout_s="0.3") as edge:
            async with edge.peer(path) as peer:
                assert await peer.close_code() == 1008
            assert await leaves_nothing(redis)

    @pytest.mark.parametrize("limit", ["start_timeout_s", "idle_timeout_s"])
    async def test_message_that_only_drips_is_no_message(self, redis_url: str, limit: str) -> None:
        async with (
            running_edge(redis_url, take_timeout_s="9", **{limit: "0.3"}) as edge,
            edge.peer("/media/twilio") as peer,
        ):
            if limit == "idle_timeout_s":
                await open_call(peer)
            dripping = asyncio.create_task(drip(peer))
            try:
                assert await peer.close_code() == 1008
            finally:
                dripping.cancel()


async def drip(peer: Peer) -> None:
    peer.frame(TEXT, declared=60_000)
    while True:
        peer.drip()
        await asyncio.sleep(0.05)


class TestB9:
    async def test_message_of_a_byte_too_many_closes_1009(
        self, edge: RunningEdge, redis: Redis
    ) -> None:
        async with edge.peer("/media/twilio") as peer:
            await open_call(peer)
            peer.frame(TEXT, b" " * (65_536 + 1))
            assert await peer.close_code() == 1009
        await until(lambda: leaves_nothing(redis))

    @pytest.mark.parametrize("size", [100_000, 1_000_000])
    async def test_peer_that_is_still_sending_is_closed_and_not_reset(
        self, edge: RunningEdge, size: int
    ) -> None:
        """Who meets a reset while sending does not look for a close code."""
        async with edge.peer("/media/twilio") as peer:
            await open_call(peer)
            peer.frame(TEXT, b" " * size)
            assert await peer.close_code() == 1009
            assert await peer.rest() == b""

    async def test_message_of_exactly_the_limit_is_read(self, edge: RunningEdge) -> None:
        async with edge.peer("/media/twilio") as peer:
            await open_call(peer)
            for message in (sample("twilio").media, sample("twilio").stop):
                assert isinstance(message, str)
                peer.frame(TEXT, message.encode().ljust(65_536))
            assert await peer.close_code() == 1000

    async def test_declared_length_of_2_to_63_closes_1009(self, edge: RunningEdge) -> None:
        async with edge.peer("/media/twilio") as peer:
            await open_call(peer)
            peer.frame(TEXT, declared=2**63)
            assert await peer.close_code() == 1009

    @pytest.mark.parametrize("limit", ["start_timeout_s", "idle_timeout_s"])
    async def test_empty_fragments_are_no_message_and_end_in_1008(
        self, redis_url: str, limit: str
    ) -> None:
        async with (
            running_edge(redis_url, take_timeout_s="9", **{limit: "0.3"}) as edge,
            edge.peer("/media/twilio") as peer,
        ):
            if limit == "idle_timeout_s":
                await open_call(peer)
            peer.frame(TEXT, is_final=False)
            for _ in range(10_000):
                peer.frame(CONTINUATION, is_final=False)
            assert await peer.close_code() == 1008


class TestB10:
    @pytest.mark.parametrize("path", ["/", "/media/twilio", "/media/sunvone"])
    async def test_text_that_is_no_utf_8_closes_1007(
        self, edge: RunningEdge, redis: Redis, path: str
    ) -> None:
        async with edge.peer(path) as peer:
            await open_call(peer, "sunvone" if path.endswith("sunvone") else "twilio")
            peer.frame(TEXT, b'{"event":"\xff\xfe"}')
            assert await peer.close_code() == 1007
        await until(lambda: leaves_nothing(redis))


BAD_JSON: dict[str, Callable[[str], str]] = {
    "empty": lambda frame: "",
    "truncated": lambda frame: frame[:-3],
    "trailing data": lambda frame: frame + "{}",
    "not a number": lambda frame: frame[:-1] + ',"x":NaN}',
    "byte order mark": lambda frame: "\ufeff" + frame,
    "top-level array": lambda frame: f"[{frame}]",
    "top-level text": lambda frame: '"start"',
    "no event": lambda frame: frame.replace('"event":', '"x":'),
    "event that is no text": lambda frame: frame.replace('"event":', '"event":1,"x":'),
    "half a surrogate pair": lambda frame: frame[:-1] + ',"x":"\ud800"}',
}


class TestB11:
    @every_provider
    @pytest.mark.parametrize("spoilt", BAD_JSON.values(), ids=BAD_JSON)
    def test_frame_that_is_no_json_object_is_counted(
        self, provider: str, spoilt: Callable[[str], str]
    ) -> None:
        call = Call(sample(provider))
        call.hear(spoilt(sample(provider).start))
        assert call.stream.ignored == {"malformed": 1}
        assert is_alive(call)

    @every_json_provider
    @pytest.mark.parametrize(
        "spoilt", [{"media": {}}, {"media": None}, {"payload": [1]}, {"payload": None}], ids=str
    )
    def test_frame_of_another_shape_is_counted(self, provider: str, spoilt: Any) -> None:
        call = Call(sample(provider))
        call.hear(media(provider, **spoilt))
        assert call.stream.ignored == {"malformed": 1}
        assert is_alive(call)

    @every_provider
    @pytest.mark.parametrize("event", ["fax", "START", "", "clear"])
    def test_event_that_the_provider_never_documented_is_counted(
        self, provider: str, event: str
    ) -> None:
        call = Call(sample(provider))
        call.hear(sample(provider).changed(sample(provider).start, event=event))
        assert call.stream.ignored == {"unknown_event": 1}
        assert is_alive(call)

    @every_provider
    def test_five_of_them_in_ten_seconds_close_1008(self, provider: str) -> None:
        call = Call(sample(provider))
        for spoilt in list(BAD_JSON.values())[:4]:
            call.hear(spoilt(sample(provider).start))
            call.wait(2.4)
        assert is_alive(call)
        call.hear("[]")
        assert call.stream.close == Close(1008, "too many messages: malformed")

    @every_provider
    def test_five_of_them_in_a_longer_time_do_not(self, provider: str) -> None:
        call = Call(sample(provider))
        for _ in range(50):
            call.hear("{")
            call.wait(2.6)
        assert is_alive(call)


class TestB12:
    @every_provider
    def test_a_hundred_thousand_nested_arrays_are_counted(self, provider: str) -> None:
        call = Call(sample(provider))
        for _ in range(4):
            call.hear(sample(provider).start[:-1] + f',"x":{NESTED}}}')
        assert call.stream.ignored == {"malformed": 4}
        assert is_alive(call)


class TestB13:
    @every_json_provider
    def test_last_of_two_equal_keys_wins(self, provider: str) -> None:
        call = Call(sample(provider))
        message = media(provider, payload="AAAAAA==")
        call.hear(message.replace('"payload":', '"payload":"/////w==","payload":'))
        assert [frame.payload for frame in frames(call)] == [bytes(4)]

    @every_provider
    @pytest.mark.parametrize("bad", ["a" * 129, "a" * 10_240, "a\0b", "a\r\nb"])
    def test_id_that_is_too_long_or_has_control_characters_closes_1008(
        self, provider: str, bad: str
    ) -> None:
        told = sample(provider)
        started = Call(told).events[0]
        assert isinstance(started, CallStarted)
        for good in {started.provider_stream_id, started.provider_call_id}:
            stream = Stream(told.adapter(), lead_ms=200)
            stream.receive(told.start.replace(good, json.dumps(bad)[1:-1]), now=0.0)
            assert stream.close == Close(1008, "invalid id")

    @every_provider
    def test_braces_are_part_of_an_id(self, provider: str) -> None:
        told = sample(provider)
        good = Call(told).events[0]
        assert isinstance(good, CallStarted)
        stream = Stream(told.adapter(), lead_ms=200)
        (started,) = stream.receive(told.start.replace(good.provider_stream_id, "{x}"), now=0.0)
        assert isinstance(started, CallStarted)
        assert started.provider_stream_id == "{x}"

    async def test_braces_in_an_id_do_not_reach_a_key(
        self, edge: RunningEdge, redis: Redis
    ) -> None:
        start = sample("twilio").start.replace("MZ", "{other}")
        async with edge.peer("/media/twilio") as peer:
            peer.say(start)
            await until(lambda: has_call(redis))
            keys = await keys_of_calls(redis)
            assert all(key.startswith(("{trunkline:0}:", "calls")) for key in keys)


async def has_call(redis: Redis) -> bool:
    return bool(await keys_of_calls(redis))


BAD_BASE64 = {
    "bad character": "/w=!",
    "no padding": "/w",
    "too much padding": "====",
    "data behind padding": "/w==/w==",
    "not ASCII": "é/w=",
    "whitespace": "/w= =",
    "newline": "/w==\n",
    "url-safe": "_w==",
    "a megabyte of nothing": "?" * 1_048_576,
}


class TestB14:
    @every_json_provider
    @pytest.mark.parametrize("payload", BAD_BASE64.values(), ids=BAD_BASE64)
    def test_payload_that_is_no_base64_is_counted(self, provider: str, payload: str) -> None:
        call = Call(sample(provider))
        call.hear(media(provider, payload=payload))
        assert call.stream.ignored == {"malformed": 1}
        assert frames(call) == []
        assert is_alive(call)

    @every_provider
    def test_empty_payload_is_no_frame(self, provider: str) -> None:
        told = sample(provider)
        call = Call(told)
        for _ in range(100):
            call.hear(media(provider, payload="") if told.is_text else b"")
        assert call.stream.ignored == {"empty": 100}
        assert frames(call) == []
        assert is_alive(call)


class TestB15:
    @every_numbering_provider
    def test_duplicate_is_dropped(self, provider: str) -> None:
        call = Call(sample(provider))
        for number in ("1", "2", "2", "1"):
            call.hear(media(provider, chunk=number))
        assert [frame.sequence for frame in frames(call)] == [1, 2]
        assert call.stream.ignored == {"duplicate": 2}

    @every_numbering_provider
    def test_gap_is_told_and_not_filled(self, provider: str) -> None:
        call = Call(sample(provider))
        for number in (1, 2, 5, 6):
            call.hear(media(provider, chunk=number))
        call.wait(0.2)
        assert [(f.sequence, f.lost_frames) for f in frames(call)] == [
            (1, 0),
            (2, 0),
            (5, 2),
            (6, 0),
        ]

    @every_numbering_provider
    def test_numbers_that_run_backwards_are_dropped(self, provider: str) -> None:
        call = Call(sample(provider))
        for number in (1, 2, 3, 4, 3, 2, 1):
            call.hear(media(provider, chunk=number))
        assert len(frames(call)) == 4
        assert call.stream.ignored == {"duplicate": 3}

    @every_numbering_provider
    def test_number_may_be_text_or_not(self, provider: str) -> None:
        call = Call(sample(provider))
        for number in ("1", 2, "3", 4):
            call.hear(media(provider, chunk=number))
        assert [frame.sequence for frame in frames(call)] == [1, 2, 3, 4]

    def test_telnyx_frames_out_of_order_by_five_are_put_back(self) -> None:
        call = Call(sample("telnyx"))
        for number in (1, 6, 5, 4, 3, 2, 7):
            call.hear(media("telnyx", chunk=number, sequence_number=number))
        assert [frame.provider_sequence for frame in frames(call)] == [1, 2, 3, 4, 5, 6, 7]

    @every_numbering_provider
    @pytest.mark.parametrize(
        ("number", "reason"), [(2**64, "malformed"), (-1, "malformed"), (2**40, "out_of_range")]
    )
    def test_number_out_of_range_is_refused(self, provider: str, number: int, reason: str) -> None:
        call = Call(sample(provider))
        call.hear(media(provider, chunk=1), media(provider, chunk=number), media(provider, chunk=2))
        assert call.stream.ignored == {reason: 1}
        assert [frame.sequence for frame in frames(call)] == [1, 2]


class TestB16:
    @every_json_provider
    @pytest.mark.parametrize("timestamp", [-5, "-5", 1.5, "1.5", 3_600_000, 2**64 - 1, "x", None])
    def test_timestamp_of_any_kind_changes_nothing(self, provider: str, timestamp: object) -> None:
        call = Call(sample(provider))
        for number in range(1, 11):
            call.hear(media(provider, chunk=number, timestamp=timestamp, payload="AAAA" * 40))
        assert [frame.sequence for frame in frames(call)] == list(range(1, 11))
        steps = [after.offset_ms - before.offset_ms for before, after in pairwise(frames(call))]
        assert max(steps) - min(steps) <= 1
        assert call.stream.next_time() is None


class TestB17:
    @pytest.mark.parametrize("provider", [p for p in PROVIDERS if sample(p).echo is not None])
    def test_mark_that_was_never_set_is_counted(self, provider: str) -> None:
        call = Call(sample(provider))
        call.hear(sample(provider).echo_of("never set"))
        assert call.stream.ignored == {"unknown_mark": 1}
        assert call.marks == []
        assert is_alive(call)

    @pytest.mark.parametrize("provider", [p for p in PROVIDERS if sample(p).echo is not None])
    def test_mark_that_comes_back_twice_is_told_once(self, provider: str) -> None:
        call = Call(sample(provider))
        call.ask(SetMark("a"))
        call.hear(sample(provider).echo_of("a"), sample(provider).echo_of("a"))
        assert call.marks == [MarkReached("a")]
        assert call.stream.ignored == {"unknown_mark": 1}

    @pytest.mark.parametrize("provider", [p for p in PROVIDERS if sample(p).echo is not None])
    def test_ten_thousand_marks_close_1008(self, provider: str) -> None:
        call = Call(sample(provider))
        for number in range(10_000):
            call.hear(sample(provider).echo_of(f"m{number}"))
        assert call.stream.close == Close(1008, "too many messages: unknown_mark")


class TestB18:
    @every_json_provider
    @pytest.mark.parametrize("message", [b"", b"\xff" * 160, b'{"event":"connected"}'])
    def test_binary_message_on_a_text_protocol_closes_1003(
        self, provider: str, message: Message
    ) -> None:
        call = Call(sample(provider))
        call.hear(message)
        assert call.stream.close == Close(1003, "binary message on a text protocol")

    @pytest.mark.parametrize("provider", BINARY_PROVIDERS)
    def test_text_garbage_on_a_binary_protocol_is_counted_and_five_close_1008(
        self, provider: str
    ) -> None:
        call = Call(sample(provider))
        for _ in range(4):
            call.hear("garbage")
        assert is_alive(call)
        assert call.stream.ignored == {"malformed": 4}
        call.hear("garbage")
        assert call.stream.close == Close(1008, "too many messages: malformed")

    @pytest.mark.parametrize("provider", BINARY_PROVIDERS)
    def test_odd_byte_is_kept_for_the_next_frame(self, provider: str) -> None:
        call = Call(sample(provider))
        call.hear(b"abc", b"def")
        assert [frame.payload for frame in frames(call)] == [b"ab", b"cdef"]

    async def test_binary_message_is_answered_1003_on_the_wire(
        self, edge: RunningEdge, redis: Redis
    ) -> None:
        for path in ("/media/twilio", "/"):
            async with edge.peer(path) as peer:
                peer.say(b"\xff" * 160)
                assert await peer.close_code() == 1003
        await until(lambda: leaves_nothing(redis))

    async def test_text_garbage_is_answered_1008_on_the_wire(self, edge: RunningEdge) -> None:
        async with edge.peer("/media/sunvone") as peer:
            for _ in range(5):
                peer.say("garbage")
            assert await peer.close_code() == 1008


class TestB20:
    async def test_compression_is_not_negotiated(self, edge: RunningEdge) -> None:
        async with edge.peer("/media/twilio") as peer:
            assert peer.answer.startswith("HTTP/1.1 101 ")
            assert "Sec-WebSocket-Extensions" not in peer.answer

    async def test_compressed_frame_closes_1002(self, edge: RunningEdge, redis: Redis) -> None:
        async with edge.peer("/media/twilio") as peer:
            await open_call(peer)
            peer.frame(TEXT, b"\xcaH\xcd\xc9\xc9\x07\x00", is_compressed=True)
            assert await peer.close_code() == 1002
        await until(lambda: leaves_nothing(redis))


async def test_bad_peers_harm_no_other_call(redis_url: str) -> None:
    async with (
        running_edge(redis_url, take_timeout_s="9") as edge,
        edge.peer("/media/twilio") as good,
    ):
        await open_call(good)
        for message in ("{", b"\0", "[]"):
            async with edge.peer("/media/twilio") as bad:
                await open_call(bad)
                for _ in range(5):
                    bad.say(message)
                assert await bad.close_code() in (1003, 1008)
        good.say(sample("twilio").stop)
        assert await good.close_code() == 1000
        text = await edge.get("/metrics")
        assert 'trunkline_edge_ignored_total{provider="twilio",reason="malformed"}' in text


def test_playing_goes_on_through_bad_input() -> None:
    call = Call(sample("twilio"))
    call.ask(PlayAudio(b"\x55" * 1600))
    call.mark()
    call.hear("{", "[]")
    call.wait(0.5)
    assert [mark.name for mark in call.marks] == call.marks_set
