"""What a worker can be told from outside; the README's table is held against this file."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from common.settings import ProcessSettings

__all__ = ["WorkerSettings"]


class WorkerSettings(ProcessSettings, frozen=True, kw_only=True):
    agent: Annotated[
        str,
        Meta(
            min_length=1, description="a built-in agent, or module:Class on the working directory"
        ),
    ] = "echo"
    worker_calls: Annotated[
        int, Meta(ge=1, le=10_000, description="calls a worker runs at a time")
    ] = 100
    end_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="seconds a handler may go on once its call has ended; then it is cancelled",
        ),
    ] = 30.0
    stall_timeout_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="seconds a handler may block its worker, which then ends; 0: for ever",
        ),
    ] = 10.0
    fallback_prompt: Annotated[
        str,
        Meta(description="sound file for a caller whose call kills its workers; empty: none"),
    ] = ""
    offload_threads: Annotated[
        int, Meta(ge=1, le=256, description="threads for call.offload()")
    ] = 4
    metrics_port: Annotated[
        int, Meta(ge=0, le=65_535, description="TCP port of the first worker's /metrics; 0: none")
    ] = 0
