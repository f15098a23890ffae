"""What `--record` makes of its path; more of it, as it is used, in test_command."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UsageError
from ops.phone import recordings, speech, wav
from ops.phone.dialect import Dialect
from ops.phone.dialects import known_dialects
from ops.phone.line import CallRecord, Script

DIALECTS = known_dialects()
FORMATS = [dialect for each in DIALECTS.values() for dialect in (each, *each.variants.values())]


def test_nothing_to_record_is_no_path() -> None:
    assert recordings.paths(None, ["twilio"], 3) == []


def test_one_path_for_each_call_of_each_provider(tmp_path: Path) -> None:
    found = recordings.paths(tmp_path / "a.wav", ["telnyx", "wavix"], 2)
    names = ["a-telnyx-1.wav", "a-telnyx-2.wav", "a-wavix-1.wav", "a-wavix-2.wav"]
    assert [path.name for path in found] == names


@pytest.mark.parametrize("dialect", FORMATS, ids=lambda d: f"{d.name}-{d.format}")
def test_recording_proves_that_heard_is_sent(tmp_path: Path, dialect: Dialect) -> None:
    chunks = speech.tune(dialect.format, chunk_ms=dialect.chunk_ms, seconds=0.2)
    record = CallRecord(dialect, Script(chunks))
    record.playout.play(b"".join(chunks), now=0.0)
    record.ended_at = 10.0
    recordings.write(tmp_path / "heard.wav", record)
    assert wav.read(tmp_path / "heard.wav", dialect.format) == b"".join(chunks)


def test_file_that_cannot_be_written_after_all_is_one_line(tmp_path: Path) -> None:
    record = CallRecord(DIALECTS["twilio"], Script([b"\xff" * 160]))
    with pytest.raises(UsageError, match="cannot be written: is a directory"):
        recordings.write(tmp_path, record)
