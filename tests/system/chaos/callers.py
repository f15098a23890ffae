"""The callers' process: places calls at all providers in real time, does what it is told on stdin.

    python -m tests.system.chaos.callers SPEC     (JSON, a `Spec`)

One line a command: `hang_up`, `stop_reading N` (so many callers), `go_on_reading`, `press DIGIT`,
`dial INDEX` (the edge that new calls go to first), `more N` (so many further callers). The process
ends when all calls have ended.

A call that ends against its will, or is not taken, is dialled again where the spec says so, as a
provider does that is told to: a new call, under a new number.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop

from common.process import background
from ops.phone.dialects import known_dialects
from tests.system.chaos.caller import Caller, Plan
from tests.system.chaos.ledger import Ledger
from tests.system.chaos.score import Rules

__all__ = ["Spec", "main"]

_DIAL_INTERVAL_S = 0.01
_REDIAL_S = 0.05
_FLUSH_S = 0.1


class Spec(msgspec.Struct):
    """`hosts`: `address:port` of each edge. `seconds`: how long a call lasts, 0: until told to hang
    up. `repeats`: calls that each caller places one after another. `receive_buffer`: bytes that the
    kernel keeps for a caller who reads nothing, 0: as many as it likes. `patience_s`: how long a
    caller that hangs up waits for the last words."""

    ledger: str
    hosts: list[str]
    calls: int
    providers: list[str] = []
    seconds: float = 0.0
    repeats: int = 1
    redials: bool = False
    first_number: int = 1
    lead_frames: int = 0
    clear_every: int = 0
    receive_buffer: int = 0
    patience_s: float = 30.0


class _Callers:
    def __init__(self, spec: Spec, session: aiohttp.ClientSession, ledger: Ledger) -> None:
        self._spec = spec
        self._session = session
        self._ledger = ledger
        self._hang_up = asyncio.Event()
        self._numbers = itertools.count(spec.first_number)
        self._dial_first = 0
        self._live: dict[int, Caller] = {}
        self._stuck: list[Caller] = []
        self._tasks: set[asyncio.Task[None]] = set()
        dialects = known_dialects()
        self._dialects = [dialects[name] for name in spec.providers or dialects]

    async def run(self) -> None:
        await self.more(self._spec.calls)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def more(self, calls: int) -> None:
        for _ in range(calls):
            task = asyncio.create_task(self._line(len(self._tasks)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(_DIAL_INTERVAL_S)

    def obey(self, command: str, argument: str) -> None:
        match command:
            case "hang_up":
                self._hang_up.set()
            case "stop_reading":
                self._stuck = list(self._live.values())[: int(argument)]
                for caller in self._stuck:
                    caller.stop_reading()
            case "go_on_reading":
                for caller in self._stuck:
                    caller.go_on_reading()
            case "press":
                for caller in self._live.values():
                    caller.press(argument)
            case "dial":
                self._dial_first = int(argument)
            case "more":
                self._tasks.add(asyncio.ensure_future(self.more(int(argument))))
            case _:
                raise ValueError(f"no such command: {command}")

    async def _line(self, index: int) -> None:
        """One caller: so many calls, one after another."""
        calls = 0
        while calls < self._spec.repeats and not (calls and self._hang_up.is_set()):
            code = await self._call(next(self._numbers), index)
            if code and self._spec.redials and not self._hang_up.is_set():
                await asyncio.sleep(_REDIAL_S)
                continue
            calls += 1

    async def _call(self, number: int, index: int) -> int:
        spec = self._spec
        dialect = self._dialects[number % len(self._dialects)]
        host = spec.hosts[(self._dial_first + index) % len(spec.hosts)]
        plan = Plan(
            number,
            dialect,
            f"ws://{host}/media/{dialect.name}",
            round(spec.seconds * 50),
            Rules(spec.lead_frames, spec.clear_every),
            spec.patience_s,
        )
        caller = Caller(plan, self._ledger, self._hang_up)
        self._live[number] = caller
        try:
            return await caller.run(self._session)
        finally:
            del self._live[number]


async def _run(spec: Spec) -> None:
    ledger = Ledger(Path(spec.ledger))
    connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket_factory(spec.receive_buffer))
    async with aiohttp.ClientSession(connector=connector) as session:
        callers = _Callers(spec, session, ledger)
        async with background(_flush(ledger), _listen(callers)):
            await callers.run()
    ledger.close()


def _socket_factory(receive_buffer: int) -> Any:
    def make(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        return made

    return make


async def _flush(ledger: Ledger) -> None:
    while True:
        await asyncio.sleep(_FLUSH_S)
        ledger.flush()


async def _listen(callers: _Callers) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command, _, argument = line.decode().strip().partition(" ")
        callers.obey(command, argument)
    callers.obey("hang_up", "")  # nobody is left to say so


def main() -> None:
    uvloop.run(_run(msgspec.json.decode(sys.argv[1], type=Spec)))


if __name__ == "__main__":
    main()
