"""A call that is this worker's, as long as Redis says so."""

from __future__ import annotations

from typing import NamedTuple

from common.keys import CallKeys
from workers.call_runner import CallRunner

__all__ = ["OwnedCall"]


class OwnedCall(NamedTuple):
    """`token` proves the ownership in every commit; it is unique for ever. `edge_id` names the
    edge that holds the caller's socket."""

    keys: CallKeys
    token: str
    edge_id: str
    runner: CallRunner
