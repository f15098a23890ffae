from __future__ import annotations

import workers
from workers import agent, call
from workers.audio import sound


def test_what_agents_are_written_with_is_exported() -> None:
    assert all(hasattr(workers, name) for name in workers.__all__)
    assert workers.__all__ == sorted(workers.__all__)
    exported = {getattr(workers, name) for name in workers.__all__}
    assert exported >= {agent.Agent, call.Call, sound.Sound, sound.HeardAudio, sound.wav}
