"""The rules of the vocabulary; what each command looks like in Redis stands in `test_wire.py`."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from common.commands import Command, HangUp
from common.events import EndReason

COMMANDS = pytest.mark.parametrize("command", get_args(Command))


@COMMANDS
def test_command_cannot_be_changed(command: Any) -> None:
    assert command.__struct_config__.frozen
    assert command.__struct_config__.array_like


def test_tags_are_those_of_the_canonical_union() -> None:
    tags = [command.__struct_config__.tag for command in get_args(Command)]
    assert tags == ["answer", "media", "mark", "clear", "dtmf", "hangup"]


def test_agent_that_hangs_up_need_not_say_why() -> None:
    assert HangUp() == HangUp(EndReason.AGENT_HUNG_UP, "")
