from __future__ import annotations

import pytest

from ops.findings import Finding, Level, failed, found, warned


@pytest.mark.parametrize(
    ("finding", "level", "line"),
    [
        (found("agent", "echo"), Level.OK, "ok    agent     echo"),
        (warned("redis", "set it"), Level.WARN, "warn  redis     set it"),
        (failed("settings", "wrong"), Level.FAIL, "fail  settings  wrong"),
    ],
)
def test_a_finding_is_a_line(finding: Finding, level: Level, line: str) -> None:
    assert finding.level is level
    assert str(finding) == line
