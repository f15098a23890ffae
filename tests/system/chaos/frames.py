"""Numbered frames: 20 ms of bytes that say whose they are and where they belong; no I/O.

The audio path never looks at a sample, so the bytes need not sound like anything: they are valid in
every format that is made of bytes. 160 bytes is the shortest frame (8 kHz, 8 bits), 32 are used.

Rule 1: the same arguments make the same bytes, so that a replay repeats them exactly.
Rule 2: the CRC covers the whole frame; a frame that was cut, joined or shifted is None.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntFlag
from typing import NamedTuple

__all__ = ["Flag", "Played", "Said", "pack_played", "pack_said", "read_played", "read_said"]

_SAID = struct.Struct("<4sIII")  # magic, caller, sequence, crc
_SAID_MAGIC = b"TKin"
_PLAYED = struct.Struct("<4sIIIQII")  # magic, call, sequence, heard, digest, flags, crc
_PLAYED_MAGIC = b"TKou"


class Said(NamedTuple):
    """A frame of the caller's; `sequence` counts them from 1."""

    caller: int
    sequence: int


class Flag(IntFlag):
    LEAD = 1  # speech of the agent's own, ahead of what it echoes
    AFTER_CLEAR = 2  # the first frame after a clear: those before it may be missing


class Played(NamedTuple):
    """A frame of the agent's. `call` stands for the edge's id of the call; `sequence` counts them
    from 1; `digest` is that of the first `heard` frames of the caller."""

    call: int
    sequence: int
    heard: int
    digest: int
    flags: Flag


def pack_said(frame: Said, size: int) -> bytes:
    return _sealed(_SAID.pack(_SAID_MAGIC, frame.caller, frame.sequence, 0), frame.sequence, size)


def pack_played(frame: Played, size: int) -> bytes:
    head = _PLAYED.pack(
        _PLAYED_MAGIC, frame.call, frame.sequence, frame.heard, frame.digest, frame.flags, 0
    )
    return _sealed(head, frame.sequence, size)


def read_said(payload: bytes) -> Said | None:
    head = _opened(payload, _SAID, _SAID_MAGIC)
    return None if head is None else Said(head[1], head[2])


def read_played(payload: bytes) -> Played | None:
    head = _opened(payload, _PLAYED, _PLAYED_MAGIC)
    return None if head is None else Played(head[1], head[2], head[3], head[4], Flag(head[5]))


def _sealed(head: bytes, filler: int, size: int) -> bytes:
    """`head` ends with room for the CRC."""
    body = head[:-4] + bytes((filler & 0xFF,)) * (size - len(head))
    crc = zlib.crc32(body)
    return b"".join((head[:-4], crc.to_bytes(4, "little"), body[len(head) - 4 :]))


def _opened(payload: bytes, layout: struct.Struct, magic: bytes) -> tuple[int, ...] | None:
    size = layout.size
    if len(payload) < size or not payload.startswith(magic):
        return None
    head = layout.unpack_from(payload)
    body = payload[: size - 4] + payload[size:]
    return head if head[-1] == zlib.crc32(body) else None
