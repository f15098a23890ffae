from __future__ import annotations

import pytest

from common.errors import SettingsError
from common.settings import load, settings_of
from workers.settings import WorkerSettings


def test_defaults() -> None:
    settings = load(WorkerSettings, {})
    assert (settings.agent, settings.worker_calls) == ("echo", 100)
    assert (settings.offload_threads, settings.metrics_port) == (4, 0)


def test_everything_can_be_set() -> None:
    settings = load(
        WorkerSettings,
        {
            "TRUNKLINE_AGENT": "house:Greeter",
            "TRUNKLINE_WORKER_CALLS": "7",
            "TRUNKLINE_OFFLOAD_THREADS": "2",
            "TRUNKLINE_METRICS_PORT": "9100",
            "REDIS_URL": "unix:///run/redis.sock",
        },
    )
    assert (settings.agent, settings.worker_calls) == ("house:Greeter", 7)
    assert (settings.offload_threads, settings.metrics_port) == (2, 9100)
    assert settings.redis_url == "unix:///run/redis.sock"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRUNKLINE_WORKER_CALLS", "0"),
        ("TRUNKLINE_WORKER_CALLS", "many"),
        ("TRUNKLINE_OFFLOAD_THREADS", "0"),
        ("TRUNKLINE_OFFLOAD_THREADS", "257"),
        ("TRUNKLINE_METRICS_PORT", "-1"),
        ("TRUNKLINE_METRICS_PORT", "65536"),
        ("REDIS_URL", "http://127.0.0.1"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(WorkerSettings, {variable: value})
    assert [fault.partition(":")[0] for fault in raised.value.faults] == [variable]


def test_every_setting_says_what_it_means() -> None:
    assert all(setting.description for setting in settings_of(WorkerSettings))
