from __future__ import annotations

import re

import pytest

from common import errors
from common.errors import (
    MessageError,
    SettingsError,
    TrunklineError,
    UsageError,
    ViolationError,
)

EVERY = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("error", EVERY)
def test_every_error_of_ours_can_be_told_from_a_bug(error: type[Exception]) -> None:
    assert issubclass(error, TrunklineError)
    assert error.__name__.endswith("Error")


def test_head_of_the_file_lists_every_error() -> None:
    listed = re.findall(r"^ *(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert sorted(listed) == sorted(errors.__all__)


def test_exit_codes_tell_wrong_settings_from_other_misuse() -> None:
    assert (UsageError.exit_code, SettingsError.exit_code) == (1, 2)


def test_settings_error_puts_each_fault_on_a_line_of_its_own() -> None:
    assert str(SettingsError(["A: x"])) == "1 setting is wrong:\n  A: x"
    assert str(SettingsError(["A: x", "B: y"])) == "2 settings are wrong:\n  A: x\n  B: y"


def test_errors_carry_what_their_catcher_needs() -> None:
    violation = ViolationError(1008, "no start")
    assert (violation.code, violation.reason, str(violation)) == (1008, "no start", "1008 no start")
    assert MessageError("malformed").reason == "malformed"
