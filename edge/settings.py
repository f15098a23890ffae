"""What an edge can be told from outside; the README's table is held against this file."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from common.settings import ProcessSettings

__all__ = ["EdgeSettings"]


class EdgeSettings(ProcessSettings, frozen=True, kw_only=True):
    host: Annotated[str, Meta(min_length=1, description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535, description="TCP port of the first edge")] = 8080
    max_calls: Annotated[
        int, Meta(ge=1, description="calls an edge holds; more are refused with 503")
    ] = 500
    start_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="seconds a socket may stay open without a start")
    ] = 5.0
    idle_timeout_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="seconds without any message before a call is closed"),
    ] = 30.0
    take_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="seconds a call waits for a worker before 1013")
    ] = 5.0
    outage_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds of events kept while Redis does not answer")
    ] = 10.0
    lead_ms: Annotated[
        int,
        Meta(ge=20, le=5000, description="ms of audio sent ahead of what the caller hears"),
    ] = 200
    max_message_bytes: Annotated[
        int, Meta(ge=1024, le=1_048_576, description="largest WebSocket message accepted")
    ] = 65_536
