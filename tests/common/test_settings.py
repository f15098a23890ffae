from __future__ import annotations

from typing import Annotated

import pytest
from msgspec import Meta

from common.errors import SettingsError
from common.settings import ProcessSettings, load, settings_of


class Shop(ProcessSettings, frozen=True, kw_only=True):
    doors: Annotated[int, Meta(ge=1, le=4, description="doors of the shop")] = 2
    sign: Annotated[str, Meta(min_length=3, description="what is written over them")] = "open"


def faults(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(Shop, environ)
    return raised.value.faults


def test_defaults_need_no_environment() -> None:
    assert load(Shop, {}) == Shop()


def test_values_come_from_the_environment() -> None:
    shop = load(
        Shop, {"TRUNKLINE_DOORS": "3", "TRUNKLINE_TICK_MS": "2.5", "REDIS_URL": "unix:///r"}
    )
    assert (shop.doors, shop.tick_ms, shop.redis_url) == (3, 2.5, "unix:///r")


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_empty_variable_counts_as_unset(empty: str) -> None:
    assert load(Shop, {"TRUNKLINE_DOORS": empty, "REDIS_URL": empty}) == Shop()


def test_space_around_a_value_is_no_part_of_it() -> None:
    assert load(Shop, {"TRUNKLINE_SIGN": " shut\n"}).sign == "shut"


def test_variables_of_others_are_passed_over() -> None:
    assert load(Shop, {"TRUNKLINE_WINDOWS": "many", "DOORS": "9"}) == Shop()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load(Shop, {}).doors = 3  # type: ignore[misc]


def test_all_faults_are_reported_at_once() -> None:
    found = faults(
        TRUNKLINE_DOORS="9",
        TRUNKLINE_SIGN="no",
        TRUNKLINE_LOG_FORMAT="xml",
        TRUNKLINE_NAMESPACE="a{b}",
        REDIS_URL="http://x",
    )
    assert {fault.partition(":")[0] for fault in found} == {
        "TRUNKLINE_DOORS",
        "TRUNKLINE_SIGN",
        "TRUNKLINE_LOG_FORMAT",
        "TRUNKLINE_NAMESPACE",
        "REDIS_URL",
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0", "TRUNKLINE_DOORS: expected int >= 1, got '0'"),
        ("5", "TRUNKLINE_DOORS: expected int <= 4, got '5'"),
        ("two", "TRUNKLINE_DOORS: expected int, got 'two'"),
        ("1.5", "TRUNKLINE_DOORS: expected int, got '1.5'"),
        ("true", "TRUNKLINE_DOORS: expected int, got 'true'"),
    ],
)
def test_number_has_bounds(text: str, fault: str) -> None:
    assert faults(TRUNKLINE_DOORS=text) == [fault]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e9"])
def test_number_that_is_none_is_out_of_bounds(text: str) -> None:
    (fault,) = faults(TRUNKLINE_TICK_MS=text)
    assert fault.startswith("TRUNKLINE_TICK_MS: expected float")


def test_choice_names_what_can_be_chosen() -> None:
    assert faults(TRUNKLINE_LOG_FORMAT="xml") == [
        "TRUNKLINE_LOG_FORMAT: expected one of text, json, got 'xml'"
    ]


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://u:p@h:1/2",
        "unix:///tmp/r.sock?db=1",
        "redis+sentinel://a,b:2,c/service",
        "rediss+cluster://:p@a,b,c",
    ],
)
def test_redis_url_may_have_any_scheme_that_a_link_speaks(url: str) -> None:
    assert load(Shop, {"REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("url", ["http://h", "localhost:6379", "h", "redis://[::1", "redis://a,b"])
def test_redis_url_that_leads_nowhere_is_a_fault(url: str) -> None:
    (fault,) = faults(REDIS_URL=url)
    assert fault.startswith("REDIS_URL: ")


def test_password_in_the_redis_url_is_not_repeated_in_a_fault() -> None:
    assert "secret" not in faults(REDIS_URL="http://u:secret@h")[0]


def test_error_says_how_many_settings_are_wrong() -> None:
    with pytest.raises(SettingsError, match=r"^1 setting is wrong:\n  TRUNKLINE_DOORS"):
        load(Shop, {"TRUNKLINE_DOORS": "0"})
    with pytest.raises(SettingsError, match=r"^2 settings are wrong:"):
        load(Shop, {"TRUNKLINE_DOORS": "0", "REDIS_URL": "x://"})
    assert SettingsError.exit_code == 2


def test_table_has_a_row_with_a_meaning_for_each_field() -> None:
    rows = {setting.variable: setting for setting in settings_of(Shop)}
    assert rows["TRUNKLINE_DOORS"].default == 2
    assert rows["REDIS_URL"].field == "redis_url"
    assert all(setting.description for setting in rows.values())
