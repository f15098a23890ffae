"""One worker process. Started by `trunkline worker` or `python -m workers`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from importlib.metadata import version

from prometheus_client import start_http_server

from common import log, process
from common.errors import UsageError
from common.metrics import TASKS
from common.notify import say_ready
from common.settings import load
from workers import metrics
from workers.agent import Agent
from workers.agent_loader import load_agent, prepare
from workers.settings import WorkerSettings
from workers.watchdog import Watchdog
from workers.worker import Worker

_log = logging.getLogger(__name__)

#: How long agents may keep a process that has nothing to do any more.
_LINGER_S = 0.5


def main() -> int:
    try:
        settings = load(WorkerSettings, os.environ)
        agent = load_agent(settings.agent)
        prepare(agent)
    except UsageError as error:
        print(f"trunkline worker: {error}", file=sys.stderr)  # noqa: T201 - no log yet
        return error.exit_code
    log.configure(f"worker-{os.getpid()}", level=settings.log_level, log_format=settings.log_format)
    return process.run("worker", lambda stopping: _work(settings, agent, stopping))


async def _work(settings: WorkerSettings, agent: type[Agent], stopping: asyncio.Event) -> None:
    if settings.metrics_port:
        _serve_metrics(settings.metrics_port + settings.index)

    loop = asyncio.get_running_loop()
    metrics.INFO.labels(version("trunkline"), settings.agent).set(1)
    TASKS.set_function(lambda: len(asyncio.all_tasks(loop)))
    worker = Worker(settings, agent)
    extra = {"agent": settings.agent, "at_most": settings.worker_calls, "worker": worker.id}
    _log.info("taking calls", extra=extra)
    say_ready()
    failure: BaseException | None = None
    watchdog = Watchdog(warn_after_s=settings.lease_ms / 2000, end_after_s=settings.stall_timeout_s)
    try:
        with watchdog.watching():
            await worker.run(stopping)
        _log.info("stopped")
    except BaseException as error:
        failure = error
        raise
    finally:
        _end_soon(failure)


def _end_soon(failure: BaseException | None) -> None:
    """Agents may leave running what nobody can end: a thread in a blocking call, a task that does
    not hear of its cancellation. Python would wait for them for ever."""
    timer = threading.Timer(_LINGER_S, _end_now, (failure,))
    timer.daemon = True
    timer.start()


def _end_now(failure: BaseException | None) -> None:
    _log.warning("what agents left running ends with the process", exc_info=failure)
    sys.stdout.flush()
    logging.shutdown()
    os._exit(0 if failure is None else 1)


def _serve_metrics(port: int) -> None:
    try:
        start_http_server(port, "127.0.0.1")
    except OSError as error:
        raise UsageError(f"cannot serve metrics on port {port}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
