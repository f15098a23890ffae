"""Keys go both ways on every provider: by message where it has one, else by their sound."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.phone.dialects import known_dialects
from tests.system.processes import Phone, System, running

AGENT = '''
from workers import Agent, Call, DtmfReceived


class Parakeet(Agent):
    """Presses each key that it hears."""

    detect_dtmf = True

    async def on_start(self, call: Call) -> None:
        await call.answer()

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        await call.send_dtmf(dtmf.digit)
'''

KEYS = "4200#"


@pytest.fixture(scope="module")
def parakeet(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("parakeet")
    (directory / "bird.py").write_text(AGENT)
    with running(redis_server_url, directory) as system:
        yield system.start(worker={"TRUNKLINE_AGENT": "bird:Parakeet"})


def test_keys_come_back_from_an_agent_that_presses_them(parakeet: System) -> None:
    url = f"ws://{parakeet.host}/media/"
    report = Phone("all", "--url", url, "--seconds", "2.5", "--dtmf", KEYS).report()
    heard = {call.provider: (call.heard_digits, call.faults) for call in report.calls}
    assert heard == {provider: (KEYS, []) for provider in known_dialects()}
    assert parakeet.complaints() == []


@pytest.mark.parametrize("codec", ["PCMA", "G722", "OPUS", "L16"])
def test_keys_of_an_agent_survive_every_codec(parakeet: System, codec: str) -> None:
    phone = parakeet.phone("telnyx", "--codec", codec, "--seconds", "2.5", "--dtmf", KEYS)
    assert phone.call().heard_digits == KEYS
