"""A call that is this worker's, as long as Redis says so."""

from __future__ import annotations

from common.keys import CallKeys
from workers.running.call_runner import CallRunner

__all__ = ["OwnedCall"]


class OwnedCall:
    """`token` proves the ownership in every commit; it is unique for ever. `edge_id` names the
    edge that holds the caller's socket. Equal to nothing but itself, and cheap to look up by."""

    __slots__ = ("edge_id", "keys", "runner", "token")

    def __init__(self, keys: CallKeys, token: str, edge_id: str, runner: CallRunner) -> None:
        self.keys = keys
        self.token = token
        self.edge_id = edge_id
        self.runner = runner
