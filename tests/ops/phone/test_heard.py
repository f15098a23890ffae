from __future__ import annotations

import numpy as np
import pytest

from common.audio import AudioFormat
from ops.phone import heard, speech
from ops.phone.dialect import AudioToPlay, Dialect
from ops.phone.dialects import known_dialects
from ops.phone.ear import Ear
from ops.phone.line import CallRecord, Script
from tests.ops.phone.codecs_for_tests import need_encoder

DIALECTS = known_dialects()
TELNYX = DIALECTS["telnyx"].variants


def call(dialect: Dialect, chunks: list[bytes]) -> CallRecord:
    """The far end said these, one every 20 ms."""
    record = CallRecord(dialect, Script([]))
    ear = Ear(record.play_format)
    for number, chunk in enumerate(chunks):
        audio = ear.hear(chunk)
        assert isinstance(audio, AudioToPlay)
        record.playout.play(audio.payload, audio.samples, now=number * 0.02)
    record.ended_at = 100.0
    return record


def tune(audio_format: AudioFormat, keys: str = "") -> list[bytes]:
    return speech.tune(audio_format, chunk_ms=20, seconds=1.5, keys=keys)


@pytest.mark.parametrize("codec", TELNYX)
def test_what_was_heard_can_be_listened_to(codec: str) -> None:
    dialect = TELNYX[codec]
    need_encoder(dialect.format)
    pcm, rate_hz = heard.samples(call(dialect, tune(dialect.format)))
    assert len(pcm) == 1.5 * rate_hz
    loudest = np.abs(pcm[rate_hz // 10 :].astype(int)).max()
    assert 5000 < loudest < 12_000


def test_what_was_cleared_was_not_heard() -> None:
    record = call(TELNYX["OPUS"], tune(TELNYX["OPUS"].format))
    record.playout.clear(now=0.51)
    pcm, rate_hz = heard.samples(record)
    assert len(pcm) == 0.52 * rate_hz  # a packet that has begun counts whole


def test_nothing_heard_is_no_samples() -> None:
    pcm, _ = heard.samples(call(TELNYX["OPUS"], []))
    assert len(pcm) == 0


@pytest.mark.parametrize(
    "dialect", [DIALECTS["mesmer"], DIALECTS["wavix"], *TELNYX.values()], ids=lambda d: d.format
)
def test_keys_are_told_by_their_sound(dialect: Dialect) -> None:
    need_encoder(dialect.format)
    assert heard.keys(call(dialect, tune(dialect.format, keys="12#"))) == "12#"
    assert heard.keys(call(dialect, tune(dialect.format))) == ""


def test_keys_that_come_by_message_are_not_listened_for() -> None:
    record = call(DIALECTS["sunvone"], tune(DIALECTS["sunvone"].format, keys="12"))
    record.keys += ["4", "2"]
    assert heard.keys(record) == "42"
