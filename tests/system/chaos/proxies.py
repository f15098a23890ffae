"""Chaos proxies for code that is not asynchronous: they run in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.chaos_proxy import ChaosProxy

__all__ = ["Proxies"]

ResultT = TypeVar("ResultT")


class Proxies:
    """Each stands between one process and Redis."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._open: list[ChaosProxy] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def open(self) -> ChaosProxy:
        proxy = ChaosProxy(self._redis_url)
        self._wait(proxy.come_back())
        self._open.append(proxy)
        return proxy

    def do(self, verb: Callable[[], ResultT]) -> ResultT:
        """`verb` is a plain method of a proxy; it has taken effect when this returns."""

        async def done() -> ResultT:
            return verb()

        return self._wait(done())

    def close(self) -> None:
        for proxy in self._open:
            self.do(proxy.resume)
            self._wait(proxy.go_away())
        self._wait(_ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60.0)


async def _ended() -> None:
    """Cancel what is left and let it end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
