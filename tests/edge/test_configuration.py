from __future__ import annotations

import pytest

from common.errors import SettingsError
from common.settings import settings_of
from edge.configuration import configure, provider_settings
from edge.entrances import DETECT
from edge.providers import providers
from edge.settings import EdgeSettings


def test_nothing_has_to_be_set() -> None:
    configuration = configure({})
    assert configuration.settings == EdgeSettings()
    assert DETECT in configuration.entrances


def test_faults_of_the_edge_and_of_providers_are_reported_together() -> None:
    with pytest.raises(SettingsError) as raised:
        configure(
            {
                "TRUNKLINE_PORT": "x",
                "TRUNKLINE_WAVIX_FORMAT": "x",
                "TRUNKLINE_SUNVONE_INTERRUPT": "x",
            }
        )
    named = {fault.split(":")[0] for fault in raised.value.faults}
    assert named == {"TRUNKLINE_PORT", "TRUNKLINE_WAVIX_FORMAT", "TRUNKLINE_SUNVONE_INTERRUPT"}


def test_empty_variable_is_as_good_as_none() -> None:
    configure({"TRUNKLINE_WAVIX_FORMAT": " ", "TRUNKLINE_TELNYX_PLAY_FORMAT": ""})


def test_every_setting_of_a_provider_is_listed_under_its_name_and_explained() -> None:
    listed = list(provider_settings())
    assert len({setting.variable for setting in listed}) == len(listed)
    for setting in listed:
        assert setting.variable.split("_")[1].lower() in providers()
        assert setting.description


def test_no_setting_of_a_provider_is_one_of_the_edge() -> None:
    edge = {setting.variable for setting in settings_of(EdgeSettings)}
    assert not edge & {setting.variable for setting in provider_settings()}
