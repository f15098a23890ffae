"""The least that an echo over Twilio's frames can cost: one aiohttp process, no Redis, no pacing.

What `ops.bench.echo_cost` holds Trunkline against. Usage: python -m ops.bench.bare_echo PORT
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
import uvloop
from aiohttp import WSMsgType, web

__all__ = ["main"]


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        frame = msgspec.json.decode(message.data)
        if frame["event"] == "media":
            media = {"payload": frame["media"]["payload"]}
            reply = {"event": "media", "streamSid": frame["streamSid"], "media": media}
            await socket.send_str(msgspec.json.encode(reply).decode())
        elif frame["event"] == "stop":
            break
    await socket.close()
    return socket


async def _serve(port: int) -> None:
    app = web.Application()
    app.router.add_get("/media/twilio", _echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    uvloop.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
