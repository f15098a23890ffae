"""What is run in the place of an agent whose workers die of a call: a prompt, then hanging up."""

from __future__ import annotations

from functools import cache

from common.errors import AgentError, UsageError
from workers.agent import Agent
from workers.audio.files import load_sound
from workers.audio.sound import Sound
from workers.call import Call

__all__ = ["last_words"]


@cache  # every lane asks
def last_words(prompt: str) -> type[Agent]:
    """An agent that plays the file `prompt`, where there is one. Raises UsageError when the file
    cannot be played."""
    sound = _load(prompt) if prompt else None

    class LastWords(Agent):
        needs_encoder = False  # without one the call ends as well, only without a word

        async def on_resumed(self, call: Call) -> None:
            if sound is not None:
                await call.play(sound)

    return LastWords


def _load(prompt: str) -> Sound:
    try:
        return load_sound(prompt)
    except AgentError as error:
        raise UsageError(f"TRUNKLINE_FALLBACK_PROMPT: {error}") from None
