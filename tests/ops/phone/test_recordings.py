"""What `--record` makes of its path; more of it, as it is used, in test_command."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from common.errors import UsageError
from ops.phone import recordings, speech, wav
from ops.phone.dialect import Dialect
from ops.phone.dialects import known_dialects
from ops.phone.line import CallRecord, Script
from tests.ops.phone.codecs_for_tests import need_encoder

DIALECTS = known_dialects()
FORMATS = [dialect for each in DIALECTS.values() for dialect in (each, *each.variants.values())]


def test_nothing_to_record_is_no_path() -> None:
    assert recordings.paths(None, ["twilio"], 3) == []


def test_one_path_for_each_call_of_each_provider(tmp_path: Path) -> None:
    found = recordings.paths(tmp_path / "a.wav", ["telnyx", "wavix"], 2)
    names = ["a-telnyx-1.wav", "a-telnyx-2.wav", "a-wavix-1.wav", "a-wavix-2.wav"]
    assert [path.name for path in found] == names


def heard(dialect: Dialect) -> tuple[CallRecord, list[bytes]]:
    """A call on which the caller heard 0.2 s, in these chunks."""
    need_encoder(dialect.format)
    chunks = speech.tune(dialect.format, chunk_ms=dialect.chunk_ms, seconds=0.2)
    record = CallRecord(dialect, Script(chunks))
    for number, chunk in enumerate(chunks):
        samples = dialect.format.samples_for_ms(dialect.chunk_ms)
        record.playout.play(chunk, samples, now=number * dialect.chunk_ms / 1000)
    record.ended_at = 10.0
    return record, chunks


@pytest.mark.parametrize(
    "dialect",
    [dialect for dialect in FORMATS if wav.can_hold(dialect.format)],
    ids=lambda d: f"{d.name}-{d.format}",
)
def test_recording_proves_that_heard_is_sent(tmp_path: Path, dialect: Dialect) -> None:
    record, chunks = heard(dialect)
    recordings.write(tmp_path / "heard.wav", record)
    assert wav.read(tmp_path / "heard.wav", dialect.format) == b"".join(chunks)


@pytest.mark.parametrize("codec", ["G722", "OPUS", "OPUS/8000", "AMR-WB"])
def test_recording_of_any_other_codec_is_decoded(tmp_path: Path, codec: str) -> None:
    record, _ = heard(DIALECTS["telnyx"].variants[codec])
    recordings.write(tmp_path / "heard.wav", record)
    with wave.open(str(tmp_path / "heard.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getnframes() * 5 == file.getframerate()


def test_file_that_cannot_be_written_after_all_is_one_line(tmp_path: Path) -> None:
    record = CallRecord(DIALECTS["twilio"], Script([b"\xff" * 160]))
    with pytest.raises(UsageError, match="cannot be written: is a directory"):
        recordings.write(tmp_path, record)
