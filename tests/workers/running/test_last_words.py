from __future__ import annotations

from pathlib import Path

import pytest

from common.commands import PlayAudio
from common.errors import UsageError
from tests.workers.calls import call_on
from workers.agent import Agent
from workers.running.last_words import last_words

SPEECH = Path(__file__).parents[2] / "fixtures" / "speech.wav"


async def test_the_prompt_is_played_whole() -> None:
    call, runtime = call_on()
    await last_words(str(SPEECH))().on_resumed(call)
    payloads = [c.payload for c in runtime.commands if isinstance(c, PlayAudio)]
    assert len(payloads) == len(runtime.commands) > 0
    runtime.executor.shutdown()


async def test_without_a_prompt_nothing_is_said() -> None:
    call, runtime = call_on()
    await last_words("")().on_resumed(call)
    assert runtime.commands == []
    runtime.executor.shutdown()


def test_a_prompt_that_cannot_be_played_is_said_before_any_call() -> None:
    with pytest.raises(UsageError, match="TRUNKLINE_FALLBACK_PROMPT: /nowhere"):
        last_words("/nowhere.wav")


def test_it_remembers_nothing_so_that_the_agent_s_own_state_stays() -> None:
    assert issubclass(last_words(""), Agent)
    assert last_words("").State is None
