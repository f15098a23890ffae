"""The callers' ledger: what happened on the wire, when, in fixed records that are only appended."""

from __future__ import annotations

import struct
import time
from enum import IntEnum
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kind", "Ledger", "Records", "read"]

_RECORD = struct.Struct("<QHHIIIQ")
_LAYOUT = np.dtype(
    [
        ("at_ns", "<u8"),  # monotonic, the same clock in all processes of a machine
        ("kind", "<u2"),
        ("detail", "<u2"),
        ("caller", "<u4"),
        ("sequence", "<u4"),
        ("heard", "<u4"),
        ("digest", "<u8"),
    ]
)
assert _LAYOUT.itemsize == _RECORD.size == 32

Records: TypeAlias = NDArray[np.void]


class Kind(IntEnum):
    OPENED = 1  # the socket is open
    REFUSED = 2  # there is no socket; detail: HTTP status, 0 for none
    SAID = 3  # sequence
    HEARD = 4  # sequence, heard, digest; detail: flags
    DAMAGED = 5  # bytes that are no frame, or a frame of another call
    MARKED = 6  # a mark arrived; sequence: its number
    ECHOED = 7  # it was given back
    CLEARED = 8
    FAULT = 9  # the far end broke the provider's protocol
    STOPPED = 10  # the caller hung up
    CLOSED = 11  # detail: close code
    HUNG_UP = 12  # the agent hung up


class Ledger:
    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=1 << 20)

    def write(
        self,
        kind: Kind,
        caller: int,
        sequence: int = 0,
        *,
        heard: int = 0,
        digest: int = 0,
        detail: int = 0,
    ) -> None:
        now = time.monotonic_ns()
        self._file.write(_RECORD.pack(now, kind, detail, caller, sequence, heard, digest))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(path: Path, *, after: int = 0) -> Records:
    """All but the first so many; whole records only: the last may still be on its way."""
    if not path.exists():
        return np.empty(0, dtype=_LAYOUT)
    with path.open("rb") as file:
        file.seek(after * _LAYOUT.itemsize)
        data = file.read()
    return np.frombuffer(data[: len(data) - len(data) % _LAYOUT.itemsize], dtype=_LAYOUT)
