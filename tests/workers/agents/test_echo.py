from __future__ import annotations

from collections.abc import Callable

import pytest

from common.commands import Answer, ClearPlayback, Command, HangUp, PlayAudio, SetMark
from common.events import DtmfReceived, Event, MarkReached, ProviderFailed
from tests.workers.calls import ENDED, STARTED, Rig, audio, claim
from workers.agents.echo import AGENT, Echo

OpenRig = Callable[..., Rig]


def frame(sequence: int) -> bytes:
    return bytes([sequence % 256]) * 160


def test_it_is_what_its_module_exports() -> None:
    assert AGENT is Echo


async def test_it_answers_the_call(rig: OpenRig) -> None:
    assert await rig(Echo).handle(STARTED) == [Answer()]


async def test_it_says_back_what_it_hears_byte_for_byte(rig: OpenRig) -> None:
    call = rig(Echo)
    await call.handle(STARTED)
    heard: list[Event] = [audio(number, frame(number)) for number in range(1, 50)]
    assert await call.handle(*heard) == [PlayAudio(frame(number)) for number in range(1, 50)]


async def test_every_fiftieth_frame_is_followed_by_a_mark(rig: OpenRig) -> None:
    call = rig(Echo)
    await call.handle(STARTED)
    commands = await call.handle(*[audio(number, frame(number)) for number in range(1, 151)])
    marks = {at: command for at, command in enumerate(commands) if isinstance(command, SetMark)}
    assert marks == {50: SetMark("echo-50"), 101: SetMark("echo-100"), 152: SetMark("echo-150")}


async def test_the_next_owner_counts_on(rig: OpenRig) -> None:
    state = b"\x81\xa6frames\x31"  # {"frames": 49}
    call = rig(Echo, claim(cursor=50, state=state))
    assert await call.handle(audio(50, frame(50))) == [PlayAudio(frame(50)), SetMark("echo-50")]


@pytest.mark.parametrize(
    ("digit", "command"),
    [
        ("*", ClearPlayback()),
        ("0", HangUp()),
        ("1", SetMark("dtmf-1")),
        ("#", SetMark("dtmf-#")),
        ("A", SetMark("dtmf-A")),
    ],
)
async def test_keys(rig: OpenRig, digit: str, command: Command) -> None:
    call = rig(Echo)
    await call.handle(STARTED)
    assert await call.handle(DtmfReceived(digit)) == [command]


@pytest.mark.parametrize("event", [MarkReached("echo-50"), ProviderFailed("code"), ENDED])
async def test_nothing_else_makes_it_say_anything(rig: OpenRig, event: Event) -> None:
    call = rig(Echo)
    await call.handle(STARTED)
    assert await call.handle(event) == []
