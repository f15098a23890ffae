"""One edge: settings -> listener -> drain. Started by `trunkline edge` or `python -m edge`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress

from aiohttp import web

from common import log, process
from common.errors import SettingsError, UsageError
from common.notify import say_ready
from edge.app import Edge
from edge.configuration import EdgeConfiguration, configure
from edge.lanes import EdgeLanes
from edge.settings import EdgeSettings

_log = logging.getLogger(__name__)

_FLUSH_TIMEOUT_S = 1.0


def main() -> int:
    try:
        configuration = configure(os.environ)
    except SettingsError as error:
        print(f"trunkline edge: {error}", file=sys.stderr)  # noqa: T201 - no log yet
        return error.exit_code
    settings = configuration.settings
    log.configure(
        f"edge-{settings.index}", level=settings.log_level, log_format=settings.log_format
    )
    return process.run("edge", lambda stopping: _serve(configuration, stopping))


async def _serve(configuration: EdgeConfiguration, stopping: asyncio.Event) -> None:
    settings = configuration.settings
    lanes = EdgeLanes(settings)
    edge = Edge(settings, configuration.entrances, lanes)
    runner = edge.runner()
    await runner.setup()
    try:
        async with process.background(lanes.run(), edge.watch()):
            site = await _listen(runner, settings)
            say_ready()
            await stopping.wait()
            # aiohttp discards what arrives once its own shutdown has begun: drain before it.
            await site.stop()
            await edge.drain(settings.drain_timeout_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_TIMEOUT_S):
                    await lanes.leave()
    finally:
        await runner.cleanup()
    _log.info("stopped")


async def _listen(runner: web.AppRunner, settings: EdgeSettings) -> web.TCPSite:
    port = settings.port + settings.index
    site = web.TCPSite(runner, settings.host, port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"cannot listen on {settings.host}:{port}: {reason}") from None
    _log.info("listening", extra={"host": settings.host, "port": port})
    return site


if __name__ == "__main__":
    sys.exit(main())
