from __future__ import annotations

import pytest

from common.errors import SettingsError
from common.settings import load, settings_of
from edge.settings import EdgeSettings


def test_defaults_are_those_of_the_design() -> None:
    settings = load(EdgeSettings, {})
    assert (settings.port, settings.take_timeout_s, settings.start_timeout_s) == (8080, 5.0, 5.0)
    assert settings.max_message_bytes == 64 * 1024


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TRUNKLINE_PORT", "0"),
        ("TRUNKLINE_PORT", "65536"),
        ("TRUNKLINE_MAX_CALLS", "0"),
        ("TRUNKLINE_START_TIMEOUT_S", "0"),
        ("TRUNKLINE_TAKE_TIMEOUT_S", "nan"),
        ("TRUNKLINE_OUTAGE_TIMEOUT_S", "3600"),
        ("TRUNKLINE_LEAD_MS", "0"),
        ("TRUNKLINE_MAX_MESSAGE_BYTES", "1"),
    ],
)
def test_setting_out_of_bounds_is_a_fault(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load(EdgeSettings, {variable: text})


def test_every_setting_has_a_default_within_its_own_bounds() -> None:
    defaults = {s.variable: str(s.default) for s in settings_of(EdgeSettings)}
    assert load(EdgeSettings, defaults) == EdgeSettings()
