from __future__ import annotations

import pytest

from common.audio import AudioFormat
from common.errors import SettingsError
from common.events import CallStarted
from edge.detection import DetectingAdapter
from edge.entrances import DETECT, entrances, options_prefix
from edge.providers import providers

WAVIX_START = '{"event":"start","stream_id":"s1","call_id":"c1"}'


def wavix_format(environ: dict[str, str]) -> AudioFormat:
    (started,) = entrances(environ)["wavix"].open_adapter().receive(WAVIX_START)
    assert isinstance(started, CallStarted)
    return started.format


def test_there_is_one_for_each_provider_and_one_that_finds_out() -> None:
    assert set(entrances({})) == {*providers(), DETECT}
    assert all(name == entrance.name for name, entrance in entrances({}).items())


def test_each_socket_gets_an_adapter_of_its_own() -> None:
    for entrance in entrances({}).values():
        assert entrance.open_adapter() is not entrance.open_adapter()


def test_detection_is_an_adapter_like_the_others() -> None:
    assert isinstance(entrances({})[DETECT].open_adapter(), DetectingAdapter)


def test_settings_of_a_provider_begin_with_its_name() -> None:
    assert options_prefix(providers()["sunvone"]) == "TRUNKLINE_SUNVONE_"


def test_settings_reach_the_adapter() -> None:
    assert wavix_format({}) == AudioFormat.pcm(24_000)
    assert wavix_format({"TRUNKLINE_WAVIX_FORMAT": "PCMA/8000"}) == AudioFormat.parse("PCMA/8000")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TRUNKLINE_WAVIX_FORMAT", "PCM"),
        ("TRUNKLINE_WAVIX_FORMAT", "L16/96000"),
        ("TRUNKLINE_WAVIX_RETURNS_CLEARED_MARKS", "perhaps"),
        ("TRUNKLINE_TELNYX_L16_BYTE_ORDER", "middle"),
        ("TRUNKLINE_TELNYX_REORDER_FRAMES", "51"),
        ("TRUNKLINE_TELNYX_REORDER_MS", "-1"),
        ("TRUNKLINE_SUNVONE_INTERRUPT", "2"),
    ],
)
def test_wrong_setting_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        entrances({variable: text})
    (fault,) = raised.value.faults
    assert fault.startswith(f"{variable}: expected ")
    assert fault.endswith(f", got {text!r}")


def test_detection_is_as_patient_as_the_most_patient_provider() -> None:
    opened = entrances({})
    patience = [entrance.start_timeout_s or 0 for entrance in opened.values()]
    assert opened[DETECT].start_timeout_s == opened["sunvone"].start_timeout_s == max(patience)
    assert opened["twilio"].start_timeout_s is None
