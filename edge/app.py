"""The edge's front door: who may come in, and what operators can ask.

/media/{provider}   WebSocket of one call
/healthz            200 while the process lives
/readyz             200 while new calls are taken, else 503 with the reason
/metrics            Prometheus
"""

from __future__ import annotations

import asyncio
import logging

from aiohttp import WSCloseCode, hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from common.events import EndReason
from common.metrics import TASKS
from edge import metrics
from edge.bad_requests import REQUESTS_LOG
from edge.entrances import DETECT, Entrance
from edge.lanes import EdgeLanes
from edge.outlet import WRITER_LIMIT_BYTES, keep_short
from edge.seldom import Seldom
from edge.session import Session
from edge.settings import EdgeSettings

__all__ = ["Edge"]

_log = logging.getLogger(__name__)
_seldom = Seldom(_log)

_CHECK_EVERY_S = 0.25
_CLOSE_TIMEOUT_S = 2.0
_HEARTBEAT_S = 10.0
_HEAD_TIMEOUT_S = 10.0

_VERSION = "13"  # RFC 6455

#: What a refusal must tell besides its reason, by status.
_HEADERS = {
    426: {hdrs.UPGRADE: "websocket", hdrs.SEC_WEBSOCKET_VERSION: _VERSION},
    503: {hdrs.RETRY_AFTER: "1"},
}


class Edge:
    def __init__(
        self, settings: EdgeSettings, entrances: dict[str, Entrance], lanes: EdgeLanes
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._entrances = entrances
        self._sessions: set[Session] = set()
        self._is_draining = False
        self._no_session = asyncio.Event()
        self._no_session.set()

    def runner(self) -> web.AppRunner:
        """What answers at this door; where that is, is the caller's to say."""
        return web.AppRunner(
            self._application(),
            handle_signals=False,
            access_log=None,
            logger=REQUESTS_LOG,
            shutdown_timeout=1.0,
            # Also the time a peer gets to send its request's head.
            keepalive_timeout=_HEAD_TIMEOUT_S,
        )

    def _application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/media/{entrance}", self._media)
        app.router.add_get("/", self._detect)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def watch(self) -> None:
        """Runs for ever: lets every session check its deadlines."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(_CHECK_EVERY_S)
            TASKS.set(len(asyncio.all_tasks()))
            if loop.time() - began > 2 * _CHECK_EVERY_S:
                continue  # we stood still ourselves: what was said meanwhile is still to be read
            for session in list(self._sessions):
                session.check()

    async def drain(self, timeout_s: float) -> None:
        """Take no new call, let the live ones end, close the rest 1012."""
        self._is_draining = True
        if self._sessions:
            _log.info("draining", extra={"calls": len(self._sessions), "timeout_s": timeout_s})
        try:
            async with asyncio.timeout(timeout_s):
                await self._no_session.wait()
        except TimeoutError:
            for session in list(self._sessions):
                session.end(EndReason.EDGE_DRAINED, WSCloseCode.SERVICE_RESTART, "edge restarts")
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await self._no_session.wait()
            except TimeoutError:
                _log.warning("sockets did not close", extra={"calls": len(self._sessions)})

    def _not_ready(self) -> str:
        """Why no new call is taken; empty when one is."""
        if self._is_draining:
            return "draining"
        if len(self._sessions) >= self._settings.max_calls:
            return "full"
        if not self._lanes.are_answering():
            return "no_redis"
        return ""

    async def _media(self, request: web.Request) -> web.StreamResponse:
        entrance = self._entrances.get(request.match_info["entrance"])
        if entrance is None:
            return self._refuse("unknown_provider", 404)
        return await self._enter(request, entrance)

    async def _detect(self, request: web.Request) -> web.StreamResponse:
        return await self._enter(request, self._entrances[DETECT])

    async def _enter(self, request: web.Request, entrance: Entrance) -> web.StreamResponse:
        if reason := self._not_ready():
            return self._refuse(reason, 503)
        if request.body_exists:
            # What a proxy takes for a body must not be read as frames behind its back.
            return self._refuse("upgrade_with_body", 400)
        socket = self._socket()
        # aiohttp would take the drafts before the standard, too.
        version = request.headers.get(hdrs.SEC_WEBSOCKET_VERSION)
        if version != _VERSION or not socket.can_prepare(request):
            return self._refuse("no_websocket", 426)
        await socket.prepare(request)
        if request.transport is not None:
            keep_short(request.transport)
        await self._hold(Session(socket, entrance, self._lanes, self._settings))
        return socket

    async def _hold(self, session: Session) -> None:
        self._sessions.add(session)
        self._no_session.clear()
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
            if not self._sessions:
                self._no_session.set()

    def _socket(self) -> web.WebSocketResponse:
        return web.WebSocketResponse(
            compress=False,
            heartbeat=_HEARTBEAT_S,
            timeout=_CLOSE_TIMEOUT_S,
            autoping=False,  # the session wants to know
            writer_limit=WRITER_LIMIT_BYTES,
            # aiohttp refuses a message of exactly the limit.
            max_msg_size=self._settings.max_message_bytes + 1,
        )

    def _refuse(self, reason: str, status: int) -> web.Response:
        metrics.CALLS_REFUSED.labels(reason).inc()
        _seldom.info("call refused", reason)
        response = web.Response(status=status, text=f"{reason}\n", headers=_HEADERS.get(status))
        if status == 400:
            response.force_close()
        return response

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        reason = self._not_ready()
        return web.Response(status=503 if reason else 200, text=f"{reason or 'ready'}\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
