"""Telnyx: order, tracks, keys, formats and files. Its messages one by one are in the fixtures."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.audio import AudioFormat, Encoding
from common.commands import PlayAudio, SetMark
from common.events import AudioReceived, CallStarted, DtmfReceived, Event
from edge.adapter import Ignored, MediaReceived, Traits
from edge.providers.telnyx import TelnyxAdapter, TelnyxOptions
from edge.stream import Stream

HOLD_S = 0.1
FRAME_S = 0.02


def start(encoding: str = "PCMU", rate_hz: int = 8000, **fields: Any) -> str:
    described = {"encoding": encoding, "sample_rate": rate_hz, "channels": 1}
    body = {"call_control_id": "c1", "media_format": described, **fields}
    return _text({"event": "start", "stream_id": "s1", "start": body})


def media(number: int | None = None, *, track: str = "inbound", timestamp: int = 0) -> str:
    """The payload tells the number, or else the timestamp."""
    told = timestamp // 160 if number is None else number
    body = {"track": track, "payload": payload(told), "timestamp": str(timestamp)}
    if number is not None:
        body["chunk"] = str(number)
    return _text({"event": "media", "stream_id": "s1", "media": body})


def payload(number: int) -> bytes:
    return (number % 2**32).to_bytes(4) * 40


def key(digit: str, at: str) -> str:
    frame = {"event": "dtmf", "stream_id": "s1", "occurred_at": at, "dtmf": {"digit": digit}}
    return _text(frame)


def _text(frame: dict[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()


class Call:
    """A stream that is woken when it asks for it; `heard` is what the agent gets, and when."""

    def __init__(self, options: TelnyxOptions | None = None, opening: str | None = None) -> None:
        self.adapter = TelnyxAdapter(options or TelnyxOptions())
        self.stream = Stream(self.adapter, lead_ms=200)
        self.now = 1000.0
        self.heard: list[tuple[float, Event]] = []
        (self.started,) = self.stream.receive(opening or start(), now=self.now)

    def hear(self, message: str, *, at: float | None = None) -> None:
        if at is not None:
            self.wait(until=1000.0 + at)
        self._note(self.stream.receive(message, now=self.now))

    def wait(self, *, until: float) -> None:
        while (due := self.stream.next_time()) is not None and due <= until:
            self.now = max(self.now, due)
            self._note(self.stream.tick(now=self.now))
        self.now = until

    @property
    def frames(self) -> list[AudioReceived]:
        return [event for _, event in self.heard if isinstance(event, AudioReceived)]

    @property
    def format(self) -> AudioFormat:
        assert isinstance(self.started, CallStarted)
        return self.started.format

    @property
    def play_format(self) -> AudioFormat | None:
        assert isinstance(self.started, CallStarted)
        return self.started.play_format

    def sent(self) -> list[Any]:
        return [msgspec.json.decode(message) for message in self.stream.messages_to_send()]

    def _note(self, events: list[Event]) -> None:
        self.heard += [(self.now - 1000.0, event) for event in events]


def arrivals(dice: random.Random, how: str) -> list[tuple[float, int]]:
    """When which of 200 frames comes: shuffled within five, every twentieth doubled."""
    numbers = list(range(1, 201))
    if how == "blocks of five":
        order = [n for at in range(0, 200, 5) for n in dice.sample(numbers[at : at + 5], 5)]
        times = {number: place * FRAME_S for place, number in enumerate(order)}
    else:
        times = {number: (number + dice.uniform(0, 5)) * FRAME_S for number in numbers}
    doubled = [(times[n] + dice.uniform(0.001, 0.1), n) for n in dice.sample(numbers, 10)]
    return sorted([*((at, number) for number, at in times.items()), *doubled])


class TestOrder:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32), st.sampled_from(["blocks of five", "displaced by less than 5"]))
    def test_shuffled_and_doubled_frames_reach_the_agent_in_order_each_once(
        self, seed: int, how: str
    ) -> None:
        call = Call()
        for at, number in arrivals(random.Random(seed), how):
            call.hear(media(number), at=at)
        call.wait(until=call.now + 1)
        assert [frame.payload for frame in call.frames] == [payload(n) for n in range(1, 201)]
        assert [frame.offset_ms for frame in call.frames] == list(range(0, 4000, 20))
        assert not any(frame.lost_frames for frame in call.frames)
        assert call.stream.ignored == {"duplicate": 10}

    @given(st.sets(st.integers(2, 99), max_size=10))
    def test_lost_frame_costs_a_tenth_of_a_second_once_and_is_counted(self, lost: set[int]) -> None:
        call = Call()
        sent_at = {n: n * FRAME_S for n in range(1, 101) if n not in lost}
        for number, at in sent_at.items():
            call.hear(media(number), at=at)
        call.wait(until=call.now + 1)
        assert [frame.payload for frame in call.frames] == [payload(n) for n in sent_at]
        assert sum(frame.lost_frames for frame in call.frames) == len(lost)
        delays = [at - sent for (at, _), sent in zip(call.heard, sent_at.values(), strict=True)]
        assert max(delays) <= HOLD_S + 1e-6
        assert delays[-1] <= (HOLD_S if lost and max(lost) > 90 else 0) + 1e-6

    def test_window_is_a_setting(self) -> None:
        call = Call(TelnyxOptions(reorder_frames=1, reorder_ms=20))
        for number in (1, 4, 5):
            call.hear(media(number))
        assert [frame.lost_frames for frame in call.frames] == [0, 2, 0]

    def test_tracks_are_put_in_order_apart(self) -> None:
        call = Call()
        for number, track in [(1, "inbound"), (2, "outbound"), (2, "inbound"), (1, "outbound")]:
            call.hear(media(number, track=track))
        told = [(frame.track, frame.sequence, frame.offset_ms) for frame in call.frames]
        assert told == [
            ("inbound", 1, 0), ("inbound", 2, 20), ("outbound", 1, 0), ("outbound", 2, 20)
        ]  # fmt: skip

    def test_keys_are_told_as_they_were_pressed(self) -> None:
        call = Call()
        for digit, second in (("3", 3), ("1", 1), ("2", 2)):
            call.hear(key(digit, f"2026-01-15T10:30:0{second}.000000Z"))
        call.wait(until=call.now + 1)
        assert [event for _, event in call.heard] == [DtmfReceived(digit) for digit in "123"]
        assert all(at == pytest.approx(HOLD_S) for at, _ in call.heard)


class TestRtpTimestamps:
    @pytest.mark.parametrize("first", [0, 160, 2**31 - 480, 2**32 - 480])
    def test_order_without_chunk_is_that_of_timestamps_which_wrap(self, first: int) -> None:
        call = Call()
        order = [0, 1, 3, 2, 5, 4, 6]
        for number in order:
            call.hear(media(timestamp=(first + number * 160) % 2**32))
        expected = [((first + number * 160) % 2**32) // 160 for number in sorted(order)]
        assert [frame.payload for frame in call.frames] == [payload(n) for n in expected]

    @pytest.mark.parametrize(
        ("encoding", "payload", "ticks"),
        [
            ("PCMU", b"\x55" * 160, 160),
            ("G722", b"\x55" * 160, 160),
            ("L16", b"\x55" * 640, 320),
            ("OPUS", b"\x08abc", 960),
            ("AMR-WB", b"\xf0\x14" + bytes(32), 320),
        ],
    )
    def test_clock_of_every_codec_orders_its_frames(
        self, encoding: str, payload: bytes, ticks: int
    ) -> None:
        adapter = TelnyxAdapter(TelnyxOptions())
        adapter.receive(start(encoding, 8000 if encoding == "PCMU" else 16_000))
        numbers = []
        for timestamp in (2**32 - ticks, 0, ticks):
            body = {"payload": payload, "timestamp": str(timestamp)}
            (receipt,) = adapter.receive(
                _text({"event": "media", "stream_id": "s1", "media": body})
            )
            assert isinstance(receipt, MediaReceived)
            numbers.append(receipt.number)
        assert numbers == [number + (2**32 - ticks) // ticks for number in range(3)]

    def test_frame_without_either_is_told_as_it_comes(self) -> None:
        adapter = TelnyxAdapter(TelnyxOptions())
        adapter.receive(start())
        message = '{"event":"media","stream_id":"s1","media":{"payload":"/w=="}}'
        assert adapter.receive(message) == [MediaReceived(b"\xff")]

    def test_timestamps_of_tracks_are_told_apart(self) -> None:
        call = Call()
        for timestamp in (0, 160):
            call.hear(media(timestamp=timestamp))
            call.hear(media(timestamp=timestamp + 2**31, track="outbound"))
        assert [frame.sequence for frame in call.frames] == [1, 1, 2, 2]


class TestFormats:
    @pytest.mark.parametrize(
        ("encoding", "rate_hz", "heard"),
        [
            ("PCMU", 8000, Encoding.PCMU),
            ("PCMA", 8000, Encoding.PCMA),
            ("OPUS", 8000, Encoding.OPUS),
            ("OPUS", 16_000, Encoding.OPUS),
            ("AMR-WB", 16_000, Encoding.AMR_WB),
            ("L16", 16_000, Encoding.L16BE),
        ],
    )
    def test_caller_is_heard_in_the_format_announced(
        self, encoding: str, rate_hz: int, heard: Encoding
    ) -> None:
        call = Call(opening=start(encoding, rate_hz))
        assert (call.format, call.play_format) == (AudioFormat(heard, rate_hz), None)

    @pytest.mark.parametrize("rate_hz", [8000, 16_000])
    def test_g722_has_16_khz_whatever_clock_is_told(self, rate_hz: int) -> None:
        played = AudioFormat.parse(f"G722/{rate_hz}")
        call = Call(TelnyxOptions(play_format=played), start("G722", rate_hz))
        assert call.format == call.play_format == AudioFormat(Encoding.G722, 16_000)

    @pytest.mark.parametrize(
        ("order", "encoding"), [("big", Encoding.L16BE), ("little", Encoding.L16)]
    )
    def test_byte_order_of_l16_is_a_setting_for_both_ways(
        self, order: Any, encoding: Encoding
    ) -> None:
        options = TelnyxOptions(play_format=AudioFormat.pcm(16_000), l16_byte_order=order)
        call = Call(options, start("L16", 8000))
        assert call.format == AudioFormat(encoding, 8000)
        assert call.play_format == AudioFormat(encoding, 16_000)

    def test_two_formats_in_one_call(self) -> None:
        call = Call(TelnyxOptions(play_format=AudioFormat.pcmu()), start("PCMA"))
        assert (call.format, call.play_format) == (
            AudioFormat(Encoding.PCMA, 8000),
            AudioFormat.pcmu(),
        )


class TestPlaying:
    @pytest.mark.parametrize(("size", "sent"), [(1, 160), (160, 160), (161, 320), (800, 800)])
    def test_last_message_is_filled_up_to_a_whole_frame(self, size: int, sent: int) -> None:
        call = Call()
        call.stream.command(PlayAudio(b"\x55" * size), now=call.now)
        call.wait(until=call.now + 1)
        audio = b"".join(_audio(frame) for frame in call.sent())
        assert audio == (b"\x55" * size).ljust(sent, b"\xff")

    def test_g722_is_filled_up_with_the_silence_of_its_own(self) -> None:
        call = Call(opening=start("G722"))
        call.stream.command(PlayAudio(b"\x55" * 170), now=call.now)
        call.wait(until=call.now + 1)
        audio = [_audio(frame) for frame in call.sent()]
        assert audio == [b"\x55" * 160, b"\x55" * 10 + b"\xff" * 150]

    @pytest.mark.parametrize("name", ["OPUS", "AMR-WB"])
    def test_packets_leave_as_they_are(self, name: str) -> None:
        call = Call(opening=start(name, 16_000))
        call.stream.command(PlayAudio(b"\x55" * 3, samples=320), now=call.now)
        call.wait(until=call.now + 1)
        assert [_audio(frame) for frame in call.sent()] == [b"\x55" * 3]

    def test_mp3_files_go_whole_one_a_second_in_order(self) -> None:
        call = Call(TelnyxOptions(play_format=AudioFormat(Encoding.MP3, 44_100)))
        files = [b"ID3" + bytes([n]) * 5000 for n in range(4)]
        for file in files:
            call.stream.command(PlayAudio(file), now=call.now)
        call.stream.command(SetMark("end"), now=call.now)
        left: list[tuple[float, Any]] = []
        while len(left) < 5:
            call.wait(until=call.now + 0.01)
            left += [(call.now - 1000.0, frame) for frame in call.sent()]
        assert [_audio(frame) for _, frame in left[:4]] == files
        assert [at for at, _ in left] == [pytest.approx(at, abs=0.02) for at in (0, 1, 2, 3, 3)]

    def test_traits_follow_the_format(self) -> None:
        assert Call().adapter.traits == Traits(max_message_ms=30_000, whole_frames=True)
        options = TelnyxOptions(play_format=AudioFormat(Encoding.MP3, 44_100))
        assert Call(options).adapter.traits == Traits(min_interval_ms=1000)


def _audio(frame: Any) -> bytes:
    return msgspec.convert(frame["media"]["payload"], bytes)


class TestMetadata:
    @pytest.mark.parametrize("state", ["not base64!", "/w==", "YQ", "\u00e9", "\u0661"])
    def test_client_state_that_is_no_text_is_passed_on_as_it_is(self, state: str) -> None:
        started = Call(opening=start(client_state=state)).started
        assert isinstance(started, CallStarted)
        assert started.metadata == {"client_state_raw": state}

    @pytest.mark.parametrize("digit", ["", "12", "E", "a"])
    def test_key_that_no_telephone_has_is_ignored(self, digit: str) -> None:
        adapter = TelnyxAdapter(TelnyxOptions())
        adapter.receive(start())
        assert adapter.receive(key(digit, "")) == [Ignored("malformed")]
