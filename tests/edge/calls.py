"""A whole edge in this process, a caller at its door and a worker behind Redis."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from prometheus_client import REGISTRY

from common import bus
from common.bus import Commit
from common.commands import Command
from common.events import Event
from common.keys import CallKeys, Lane, lanes
from common.link import Link
from common.wire import decode_event, encode_command
from edge.entrances import Entrance, entrances
from edge.settings import EdgeSettings
from tests.chaos_proxy import ChaosProxy
from tests.edge.dummy import DummyAdapter
from tests.edge.served import Served, served
from tests.waiting import until

__all__ = ["Caller", "OwnedCall", "RunningEdge", "Worker", "counted", "running_edge"]

NAMESPACE = "test"
FRAME = b"\xff" * 160


def counted(series: str, **labels: str) -> float:
    """What a metric stands at; 0 before it was ever set."""
    return REGISTRY.get_sample_value(series, labels) or 0.0


class Closed(NamedTuple):
    code: int
    reason: str


class Caller:
    """The provider's end of a socket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, **frame: Any) -> None:
        await self.socket.send_json(frame)

    async def start(self, call_sid: str = "CA1") -> Caller:
        start = {"streamSid": "MZ1", "callSid": call_sid}
        await self.say(event="start", streamSid="MZ1", start=start)
        return self

    async def speak(self, payload: bytes = FRAME) -> None:
        media = {"payload": b64encode(payload).decode()}
        await self.say(event="media", streamSid="MZ1", media=media)

    async def press(self, digit: str) -> None:
        await self.say(event="dtmf", streamSid="MZ1", dtmf={"digit": digit})

    async def give_back(self, mark: str) -> None:
        await self.say(event="mark", streamSid="MZ1", mark={"name": mark})

    async def stop(self) -> None:
        await self.say(event="stop", streamSid="MZ1", stop={})

    async def hear(self, timeout: float = 20.0) -> Any:
        """The next frame, decoded."""
        message = await self.socket.receive(timeout)
        assert message.type is WSMsgType.TEXT, message
        return msgspec.json.decode(message.data)

    async def hear_until(self, event: str) -> list[Any]:
        """All frames up to the first of a kind."""
        heard = [await self.hear()]
        while heard[-1]["event"] != event:
            heard.append(await self.hear())
        return heard

    async def closed(self, timeout: float = 20.0) -> Closed:
        """How the edge closed the socket; what it had sent before is passed over."""
        while (message := await self.socket.receive(timeout)).type is not WSMsgType.CLOSE:
            assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        return Closed(message.data, message.extra or "")


class OwnedCall:
    """A call as its worker sees it in Redis."""

    def __init__(self, link: Link, keys: CallKeys) -> None:
        self._link = link
        self._commits = 0
        self.keys = keys

    async def stored(self) -> list[Event]:
        """All events so far; their ids must leave no gap."""
        (entries,) = await self._link.execute([(b"XRANGE", self.keys.events, b"-", b"+")])
        assert [entry_id for entry_id, _ in entries] == [
            b"%d-0" % n for n in range(1, len(entries) + 1)
        ]
        return [decode_event(fields[1]).event for _, fields in entries]

    async def events(self, last: type[Event]) -> list[Event]:
        """All events, once one of the kind `last` is there."""

        async def is_there() -> bool:
            return any(isinstance(event, last) for event in await self.stored())

        await until(is_there)
        return await self.stored()

    async def ask(self, *commands: Command) -> None:
        self._commits += 1
        step = Commit(self._commits, 0, 0, None, [encode_command(c) for c in commands])
        (reply,) = await self._link.execute([bus.commit(self.keys, "token", step)])
        assert reply == b"COMMITTED"

    async def finish(self) -> None:
        (reply,) = await self._link.execute([bus.finish(self.keys, "token")])
        assert reply == b"FINISHED"


class Worker:
    """Takes calls as a worker does, and does with them what the test says."""

    def __init__(self, link: Link, lane: Lane) -> None:
        self._link = link
        self._lane = lane

    async def take(self) -> OwnedCall:
        take = bus.take(self._lane, "w1", block_ms=20_000)
        _, reply = await self._link.execute([bus.create_group(self._lane), take], block_s=20.0)
        (taken,) = bus.read_taken(reply)
        keys = self._lane.keys(taken.call_id)
        (claimed,) = await self._link.execute([bus.claim(keys, "token")])
        assert isinstance(bus.read_claim(claimed), bus.Claim)
        return OwnedCall(self._link, keys)

    async def keys_left(self) -> list[bytes]:
        """Keys of calls; what lives for ever is left out."""
        (keys,) = await self._link.execute([(b"KEYS", f"{self._lane.tag}:*")])
        lasting = (self._lane.calls, self._lane.edges, self._lane.ended)
        return [key for key in keys if key not in lasting]


class RunningEdge:
    def __init__(self, served: Served, client: ClientSession, worker: Worker) -> None:
        self.edge = served.edge
        self.lanes = served.lanes
        self.client = client
        self.url = f"http://127.0.0.1:{served.port}"
        self.worker = worker
        self._callers: list[Caller] = []

    async def connect(self, path: str = "/media/twilio", **options: Any) -> Caller:
        caller = Caller(await self.client.ws_connect(self.url + path, **options))
        self._callers.append(caller)
        return caller

    async def call(self, **options: Any) -> tuple[Caller, OwnedCall]:
        """A call that has started and that the worker has taken."""
        caller = await (await self.connect(**options)).start()
        return caller, await self.worker.take()

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        async with self.client.get(self.url + path, **options) as response:
            return response.status, await response.text()

    async def hang_up_all(self) -> None:
        for caller in self._callers:
            await caller.socket.close()
        await self.edge.drain(5.0)


@asynccontextmanager
async def running_edge(
    redis_url: str,
    *,
    through: ChaosProxy | None = None,
    adapter: DummyAdapter | None = None,
    **settings: Any,
) -> AsyncIterator[RunningEdge]:
    """`through` is the edge's way to Redis, not the worker's; `adapter` is what answers at
    /media/dummy."""
    settings.setdefault("redis_timeout_ms", 5000)  # a busy machine is no outage
    url = redis_url if through is None else through.url
    chosen = EdgeSettings(redis_url=url, namespace=NAMESPACE, **settings)
    opened = entrances({})
    opened["dummy"] = Entrance("dummy", lambda: adapter or DummyAdapter())
    link = Link(redis_url, timeout_s=10.0)
    worker = Worker(link, lanes(NAMESPACE, 1)[0])
    try:
        async with served(chosen, opened) as edge, ClientSession() as client:
            running = RunningEdge(edge, client, worker)
            try:
                yield running
            finally:
                await running.hang_up_all()
    finally:
        await link.close()
