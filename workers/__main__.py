"""One worker process. Started by `trunkline worker` or `python -m workers`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from prometheus_client import start_http_server

from common import log, process
from common.errors import UsageError
from common.metrics import TASKS
from common.notify import say_ready
from common.settings import load
from workers.agent import Agent
from workers.agent_loader import load_agent, prepare
from workers.settings import WorkerSettings
from workers.worker import Worker

_log = logging.getLogger(__name__)


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
    TASKS.set_function(lambda: len(asyncio.all_tasks(loop)))
    worker = Worker(settings, agent)
    extra = {"agent": settings.agent, "at_most": settings.worker_calls, "worker": worker.id}
    _log.info("taking calls", extra=extra)
    say_ready()
    await worker.run(stopping)
    _log.info("stopped")


def _serve_metrics(port: int) -> None:
    try:
        start_http_server(port, "127.0.0.1")
    except OSError as error:
        raise UsageError(f"cannot serve metrics on port {port}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
