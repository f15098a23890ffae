from __future__ import annotations

from typing import Any

import pytest

from workers.audio import vad
from workers.voice.speech import SpeechSettings


def test_the_usual_settings_are_the_detector_s() -> None:
    assert SpeechSettings() == SpeechSettings(vad.ONSET_MS, vad.HANGOVER_MS)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"onset_ms": 0}, "onset_ms is 0: 20 to 1000 are possible"),
        ({"hangover_ms": 60_000}, "hangover_ms is 60000: 20 to 10000 are possible"),
        ({"hangover_ms": 0.4}, "hangover_ms is 0.4: 20 to 10000 are possible"),
        ({"hangover_ms": "400"}, "hangover_ms is '400': 20 to 10000 are possible"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_said_where_the_agent_is_written(
    wrong: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        SpeechSettings(**wrong)
