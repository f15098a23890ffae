"""Wavix: one-way streams, formats and marks. Its messages one by one are in the fixtures."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common.audio import AudioFormat
from common.commands import ClearPlayback, PlayAudio, SetMark
from common.errors import UnsupportedError
from common.events import CallStarted, MarkOutcome, MarkReached, ProviderFailed
from edge.adapter import Ignored, Violated
from edge.providers.wavix import WavixAdapter, WavixOptions
from edge.stream import Stream

AUDIO = PlayAudio(bytes(960))


def frame(event: str, **fields: Any) -> str:
    told = {"event": event, "event_time": "2024-01-15T10:30:00Z", "call_id": "c1", **fields}
    return msgspec.json.encode({"stream_id": "s1", **told}).decode()


def opened(stream_type: str = "twoway", options: WavixOptions | None = None) -> WavixAdapter:
    adapter = WavixAdapter(options or WavixOptions())
    (started,) = adapter.receive(frame("start", stream_type=stream_type, channel="both"))
    assert isinstance(started, CallStarted)
    return adapter


def live(stream_type: str) -> Stream:
    stream = Stream(WavixAdapter(WavixOptions()), lead_ms=200)
    stream.receive(frame("start", stream_type=stream_type), now=0.0)
    return stream


class TestOneWay:
    def test_playing_is_refused_once_and_told_why(self) -> None:
        stream = live("oneway")
        told = []
        for number in range(100):
            told += stream.command(AUDIO, now=number / 50)
            told += stream.tick(now=number / 50)
        (failed,) = told
        assert isinstance(failed, ProviderFailed)
        assert (failed.code, failed.title) == ("unsupported_command", "PlayAudio")
        assert "one-way" in failed.detail
        assert stream.messages_to_send() == []

    @pytest.mark.parametrize("command", [AUDIO, SetMark("a"), ClearPlayback()])
    def test_nothing_may_be_played_marked_or_cleared(self, command: Any) -> None:
        with pytest.raises(UnsupportedError):
            opened("oneway").send(command)

    def test_mark_that_could_not_be_sent_is_lost_at_the_end(self) -> None:
        stream = live("oneway")
        stream.command(SetMark("a"), now=0.0)
        stream.tick(now=0.0)
        reached, _ = stream.socket_closed(1006, now=1.0)
        assert reached == MarkReached("a", MarkOutcome.LOST)

    def test_caller_is_heard(self) -> None:
        stream = live("oneway")
        media = frame("media", media={"payload": "AAA=", "track": "inbound", "chunk": 1})
        assert len(stream.receive(media, now=0.0)) == 1


def test_two_way_is_usual() -> None:
    adapter = WavixAdapter(WavixOptions())
    adapter.receive(frame("start"))
    adapter.send(AUDIO)
    assert len(adapter.messages_to_send()) == 1


def test_samples_are_24_khz_unless_told_otherwise() -> None:
    (usual,) = WavixAdapter(WavixOptions()).receive(frame("start"))
    (other,) = WavixAdapter(WavixOptions(format=AudioFormat.pcmu())).receive(frame("start"))
    assert isinstance(usual, CallStarted)
    assert isinstance(other, CallStarted)
    assert (usual.format, other.format) == (AudioFormat.pcm(24_000), AudioFormat.pcmu())


@pytest.mark.parametrize("returned", [True, False])
def test_whether_marks_come_back_after_a_clear_is_a_setting(returned: bool) -> None:
    adapter = opened(options=WavixOptions(returns_cleared_marks=returned))
    assert adapter.traits.returns_cleared_marks is returned


def test_there_are_no_keys() -> None:
    assert opened().receive(frame("dtmf", dtmf={"digit": "1"})) == [Ignored("unknown_event")]


def test_time_of_an_event_is_not_looked_at() -> None:
    (started,) = WavixAdapter(WavixOptions()).receive(frame("start").replace("2024-01", "x"))
    assert isinstance(started, CallStarted)


@pytest.mark.parametrize("field", ["stream_id", "call_id"])
def test_id_that_is_none_is_a_violation(field: str) -> None:
    adapter = WavixAdapter(WavixOptions())
    assert adapter.receive(frame("start", **{field: "a\0"})) == [Violated(1008, "invalid id")]
