from __future__ import annotations

from pathlib import Path

import pytest

from ops.logs import last_line


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"first\nlast\n", "last"),
        (b"first\n  last words  \n\n \n", "last words"),
        (b"not \xff text", "not \N{REPLACEMENT CHARACTER} text"),
        (b"", "it said nothing"),
    ],
)
def test_the_last_line_that_says_something(tmp_path: Path, content: bytes, line: str) -> None:
    (tmp_path / "log").write_bytes(content)
    assert last_line(tmp_path / "log") == line


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert last_line(tmp_path / "log") == "it said nothing"
