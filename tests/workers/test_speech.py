from __future__ import annotations

import msgspec
import pytest

from workers.audio import vad
from workers.speech import SpeechSettings


def test_the_usual_settings_are_the_detector_s() -> None:
    assert SpeechSettings() == SpeechSettings(vad.ONSET_MS, vad.HANGOVER_MS)


@pytest.mark.parametrize("wrong", [{"onset_ms": 0}, {"hangover_ms": 60_000}])
def test_what_settings_may_be_can_be_told(wrong: dict[str, int]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, SpeechSettings)
