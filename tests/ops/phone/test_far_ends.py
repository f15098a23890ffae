"""Every dialect on a real socket: an honest far end behaves, one with a vice does not."""

from __future__ import annotations

import base64

import pytest

from ops.phone import line as line_module
from ops.phone import speech
from ops.phone.dialects import known_dialects
from ops.phone.line import Script
from ops.phone.report import CallReport, report_on
from ops.phone.switchboard import Placement, place
from tests.ops.phone.codecs_for_tests import need_encoder
from tests.ops.phone.echo_edge import (
    Conversation,
    SunvoneConversation,
    TelnyxConversation,
    WavixConversation,
    serving,
)

DIALECTS = known_dialects()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "QUIET_S", 0.5)
    monkeypatch.setattr(line_module, "LINGER_S", 1.5)
    monkeypatch.setattr(line_module, "ECHO_S", 1.5)


async def converse(
    provider: str, far_end: type[Conversation] | None = None, *, variant: str = "", digits: str = ""
) -> tuple[CallReport, Conversation]:
    """A call of 0.2 s, and what the far end heard of it."""
    dialect = DIALECTS[provider]
    dialect = dialect.variants.get(variant, dialect)
    chunks = speech.tune(dialect.format, chunk_ms=dialect.chunk_ms, seconds=0.2)
    with serving(far_end) as edge:
        script = Script(chunks, digits=digits, expects_echo=True)
        url = edge.url.replace("PROVIDER", provider)
        session = await place([Placement(dialect._replace(silent_s=0.0), script, url)])
    return report_on(session.records).calls[0], edge.conversations[0]


@pytest.mark.parametrize("provider", DIALECTS)
async def test_honest_echo_behaves(provider: str) -> None:
    report, far_end = await converse(provider)
    assert report.faults == []
    assert report.frames_heard == 10
    assert report.sent_sha256 == report.heard_sha256
    marks = [] if provider == "sunvone" else ["echo-10"]
    assert report.marks == marks
    assert [message["mark"]["name"] for message in far_end.said("mark")] == marks


@pytest.mark.parametrize("codec", DIALECTS["telnyx"].variants)
async def test_every_codec_of_telnyx_comes_back_whole(codec: str) -> None:
    need_encoder(DIALECTS["telnyx"].variants[codec].format)
    report, _ = await converse("telnyx", variant=codec)
    assert report.faults == []
    assert report.sent_sha256 == report.heard_sha256


class _TelnyxWithStreamId(TelnyxConversation):
    async def send(self, **fields: object) -> None:
        await super().send(stream_id=self.heard[1]["stream_id"], **fields)


class _TelnyxInHalves(TelnyxConversation):
    async def play(self, payload: str) -> None:
        audio = base64.b64decode(payload)
        for half in (audio[:80], audio[80:]):
            await super().play(base64.b64encode(half).decode())


class _TelnyxBadBase64(TelnyxConversation):
    async def play(self, payload: str) -> None:
        await super().play("~" + payload[1:] if self.frames == 3 else payload)


class _WavixWithoutStreamId(WavixConversation):
    async def send(self, **fields: object) -> None:
        await self.say(fields)


class _SunvoneSpeaksTooEarly(SunvoneConversation):
    async def on_call(self) -> None:
        await self.socket.send_bytes(b"\0" * 320)
        await super().on_call()


class _SunvoneInterrupts(SunvoneConversation):
    async def on_call(self) -> None:
        await super().on_call()
        await self.send(event="interrupt")


class _SunvonePressesTooLong(SunvoneConversation):
    async def on_call(self) -> None:
        await super().on_call()
        await self.send(event="dtmf", digit="1", duration=1001)


class _SunvoneNeverAnswers(SunvoneConversation):
    async def on_call(self) -> None:
        pass


VICES: dict[type[Conversation], tuple[str, str]] = {
    _TelnyxWithStreamId: ("telnyx", "unknown field `stream_id`"),
    _TelnyxInHalves: ("telnyx", "a message of 10 ms of audio"),
    _TelnyxBadBase64: ("telnyx", "audio that is not base64"),
    _WavixWithoutStreamId: ("wavix", "missing required field `stream_id`"),
    _SunvoneSpeaksTooEarly: ("sunvone", "audio before the answer"),
    _SunvoneInterrupts: ("sunvone", "`interrupt`, which this version"),
    _SunvonePressesTooLong: ("sunvone", "Expected `int` <= 1000"),
}


@pytest.mark.parametrize("vice", VICES, ids=lambda vice: vice.__name__)
async def test_every_vice_is_caught(vice: type[Conversation]) -> None:
    provider, fault = VICES[vice]
    report, _ = await converse(provider, vice)
    assert not report.behaved
    assert any(fault in each for each in report.faults), report.faults


async def test_telnyx_complains_of_bad_base64() -> None:
    _, far_end = await converse("telnyx", _TelnyxBadBase64)
    (error,) = far_end.said("error")
    assert error["payload"]["code"] == 100004
    assert error["payload"]["title"] == "invalid_media"


async def test_newer_sunvone_may_be_interrupted() -> None:
    report, _ = await converse("sunvone", _SunvoneInterrupts, variant="interrupt")
    assert report.faults == []
    assert report.clears == 1


async def test_sunvone_gives_up_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "RING_S", 0.1)
    report, far_end = await converse("sunvone", _SunvoneNeverAnswers)
    assert report.ending == "not answered"
    assert [message["event"] for message in far_end.heard] == ["incoming_call", "hangup", "cdr"]
    assert far_end.heard[2]["disposition"] == "NO ANSWER"
    assert far_end.frames == 0


class _SunvoneHangsUp(SunvoneConversation):
    async def on_frame(self, number: int, payload: str) -> None:
        await super().on_frame(number, payload)
        if number == 5:
            await self.send(event="hangup")


async def test_sunvone_answers_a_hang_up_with_its_record_and_closes() -> None:
    report, far_end = await converse("sunvone", _SunvoneHangsUp)
    assert report.behaved
    assert report.ending == "hung up by the agent"
    assert report.close_code == 1000
    assert [message["event"] for message in far_end.heard] == ["incoming_call", "cdr"]
    assert far_end.heard[1]["hangupBy"] == "callee"


async def test_sunvone_hangs_up_then_tells_its_record() -> None:
    _, far_end = await converse("sunvone", digits="7")
    events = [message["event"] for message in far_end.heard]
    assert events == ["incoming_call", "dtmf", "hangup", "cdr"]
