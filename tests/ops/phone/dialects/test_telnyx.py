from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from common.audio import AudioFormat, Encoding
from ops.phone.dialect import AudioToPlay, Clear, Fault, MarkToEcho, Received
from ops.phone.dialects.telnyx import DIALECT, TelnyxIds, TelnyxManners
from tests.ops.phone.dialects.words import AUDIO, PAYLOAD, said

IDS = TelnyxIds(stream_id="stream", user_id="user", call_control_id="v2:call", call_session_id="s")
PCMU = AudioFormat.pcmu()
NOON = datetime(2026, 1, 15, 12, 0, 0, 60_000, tzinfo=UTC)


def telnyx(audio_format: AudioFormat = PCMU, *, token: str = "") -> TelnyxManners:
    return TelnyxManners(audio_format, IDS, token=token, now=lambda: NOON)


def test_telnyx_says_what_its_documentation_shows() -> None:
    call = telnyx()
    messages = said(
        call.open(),
        call.media(AUDIO),
        call.dtmf("#"),
        call.mark_echo("m", is_cleared=True),
        call.stop(),
    )
    assert messages == [
        {"event": "connected", "version": "1.0.0"},
        {
            "event": "start",
            "sequence_number": "1",
            "start": {
                "user_id": "user",
                "call_control_id": "v2:call",
                "call_session_id": "s",
                "from": "+13122010094",
                "to": "+13122123456",
                "tags": ["TAG1", "TAG2"],
                "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
                "custom_parameters": {"language": "en"},
                "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
            },
            "stream_id": "stream",
        },
        {
            "event": "media",
            "sequence_number": "2",
            "media": {
                "track": "inbound",
                "chunk": "1",
                "timestamp": str(2**32 - 8000),
                "payload": PAYLOAD,
            },
            "stream_id": "stream",
        },
        {
            "event": "dtmf",
            "stream_id": "stream",
            "occurred_at": "2026-01-15T12:00:00.060000Z",
            "sequence_number": "3",
            "dtmf": {"digit": "#"},
        },
        {"event": "mark", "sequence_number": "4", "stream_id": "stream", "mark": {"name": "m"}},
        {
            "event": "stop",
            "sequence_number": "5",
            "stop": {"user_id": "user", "call_control_id": "v2:call"},
            "stream_id": "stream",
        },
    ]


def test_secret_stands_in_an_object_of_the_first_frame() -> None:
    connected = said(telnyx(token="s3cr3t").open())[0]
    assert connected["connected"] == {"x-telnyx-streaming-auth-token": "s3cr3t"}


def test_rtp_timestamp_wraps_after_one_second() -> None:
    call = telnyx()
    timestamps = [int(said(call.media(AUDIO))[0]["media"]["timestamp"]) for _ in range(52)]
    assert timestamps[:2] == [2**32 - 8000, 2**32 - 7840]
    assert timestamps[49:] == [2**32 - 160, 0, 160]


@pytest.mark.parametrize(
    ("codec", "encoding", "rate_hz", "chunk_bytes"),
    [
        ("PCMU", "PCMU", 8000, 160),
        ("PCMA", "PCMA", 8000, 160),
        ("G722", "G722", 8000, 160),
        ("L16", "L16", 16_000, 640),
        ("L16/16000", "L16", 16_000, 640),
        ("L16/8000", "L16", 8000, 320),
    ],
)
def test_codec_is_told_in_the_start(
    codec: str, encoding: str, rate_hz: int, chunk_bytes: int
) -> None:
    dialect = DIALECT.variants[codec]
    media_format = said(dialect.open_call().open())[1]["start"]["media_format"]
    assert media_format == {"encoding": encoding, "sample_rate": rate_hz, "channels": 1}
    samples = dialect.format.samples_for_ms(dialect.chunk_ms)
    assert dialect.format.bytes_for(samples) == chunk_bytes


@pytest.mark.parametrize(
    ("codec", "encoding", "rate_hz"),
    [
        ("OPUS", "OPUS", 16_000),
        ("OPUS/16000", "OPUS", 16_000),
        ("OPUS/8000", "OPUS", 8000),
        ("AMR-WB", "AMR-WB", 16_000),
    ],
)
def test_codec_in_packets_is_told_in_the_start(codec: str, encoding: str, rate_hz: int) -> None:
    messages = said(DIALECT.variants[codec].open_call().open())
    media_format = messages[1]["start"]["media_format"]
    assert media_format == {"encoding": encoding, "sample_rate": rate_hz, "channels": 1}


@pytest.mark.parametrize(
    ("codec", "clock_hz"),
    [("PCMU", 8000), ("G722", 8000), ("OPUS", 48_000), ("AMR-WB", 16_000), ("L16", 16_000)],
)
def test_rtp_timestamp_counts_by_the_clock_of_the_codec(codec: str, clock_hz: int) -> None:
    call = DIALECT.variants[codec].open_call()
    first, second = (int(said(call.media(AUDIO))[0]["media"]["timestamp"]) for _ in range(2))
    assert (first, second - first) == (2**32 - clock_hz, clock_hz // 50)


def test_packet_that_nobody_can_decode_is_a_fault() -> None:
    opus = telnyx(AudioFormat(Encoding.OPUS, 16_000))
    fault = opus.receive(json.dumps(of(2)))
    assert isinstance(fault, Fault)
    assert "2 bytes are no packet of OPUS/16000" in fault.text


def test_packet_lasts_as_long_as_it_says() -> None:
    opus = telnyx(AudioFormat(Encoding.OPUS, 16_000))

    def received(packet: bytes) -> Received:
        payload = base64.b64encode(packet).decode()
        return opus.receive(json.dumps({"event": "media", "media": {"payload": payload}}))

    assert received(b"\x08") == AudioToPlay(b"\x08", 320)
    too_short = received(b"\x00")
    assert isinstance(too_short, Fault)
    assert too_short.text.startswith("a message of 10 ms of audio")


def test_linear_samples_are_in_network_byte_order() -> None:
    assert DIALECT.variants["L16"].format == AudioFormat(Encoding.L16BE, 16_000)


def of(size_bytes: int) -> dict[str, object]:
    payload = base64.b64encode(b"\xff" * size_bytes).decode()
    return {"event": "media", "media": {"payload": payload}}


@pytest.mark.parametrize(
    ("message", "received"),
    [
        ({"event": "media", "media": {"payload": PAYLOAD}}, AudioToPlay(AUDIO, 160)),
        (of(240_000), AudioToPlay(b"\xff" * 240_000, 240_000)),
        ({"event": "mark", "mark": {"name": "a b"}}, MarkToEcho("a b")),
        ({"event": "clear"}, Clear()),
    ],
    ids=["media", "30 s of media", "mark", "clear"],
)
def test_the_three_messages_of_an_edge(message: object, received: Received) -> None:
    assert telnyx().receive(json.dumps(message)) == received


WRONG: dict[str, tuple[object, str]] = {
    "stream id on media": (of(160) | {"stream_id": "stream"}, "unknown field `stream_id`"),
    "stream id on clear": ({"event": "clear", "stream_id": "stream"}, "unknown field `stream_id`"),
    "10 ms": (of(80), "a message of 10 ms of audio"),
    "just below 20 ms": (of(159), "a message of 19.875 ms"),
    "just above 30 s": (of(240_001), "where 20 ms to 30 s are allowed"),
    "no audio": (of(0), "audio without a single sample"),
    "mark without a name": ({"event": "mark", "mark": {}}, "missing required field `name`"),
    "mark with an empty name": ({"event": "mark", "mark": {"name": ""}}, "length >= 1"),
    "track": ({"event": "media", "media": {"payload": PAYLOAD, "track": "x"}}, "`track`"),
    "event of the other direction": ({"event": "dtmf", "dtmf": {"digit": "1"}}, "'dtmf'"),
}


@pytest.mark.parametrize(("message", "words"), WRONG.values(), ids=WRONG)
def test_any_other_frame_is_a_fault_without_a_reply(message: object, words: str) -> None:
    fault = telnyx().receive(json.dumps(message))
    assert isinstance(fault, Fault)
    assert words in fault.text
    assert fault.reply is None


@pytest.mark.parametrize("payload", ["!" + PAYLOAD[1:], PAYLOAD[:-1], "_-8=", "é"])
def test_bad_base64_is_answered_by_an_error(payload: str) -> None:
    fault = telnyx().receive(json.dumps({"event": "media", "media": {"payload": payload}}))
    assert isinstance(fault, Fault)
    assert fault.text.startswith("audio that is not base64: ")
    assert json.loads(fault.reply or "") == {
        "event": "error",
        "stream_id": "stream",
        "payload": {
            "code": 100004,
            "title": "invalid_media",
            "detail": "Media provided was not base64 encoded",
        },
    }


def test_half_a_sample_is_a_fault() -> None:
    linear = telnyx(AudioFormat(Encoding.L16BE, 8000))
    fault = linear.receive(json.dumps(of(321)))
    assert fault == Fault("321 bytes are no whole number of L16BE/8000 samples")
