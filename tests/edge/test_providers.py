from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import edge.providers
from edge.providers import providers

MODULES = [info.name for info in iter_modules(edge.providers.__path__)]


def test_every_module_of_the_folder_is_a_provider() -> None:
    assert len(providers()) == len(MODULES)
    for name in MODULES:
        assert import_module(f"edge.providers.{name}").PROVIDER in providers().values()


def test_provider_is_found_under_its_own_name() -> None:
    assert all(name == provider.name for name, provider in providers().items())
    assert {"twilio", "mesmer", "telnyx", "wavix", "sunvone"} <= set(providers())


def test_each_stream_gets_an_adapter_of_its_own() -> None:
    for provider in providers().values():
        options = provider.options()
        assert provider.open_adapter(options) is not provider.open_adapter(options)
