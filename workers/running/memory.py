"""What hearing and speaking must hand on to a call's next owner, beside the agent's own state."""

from __future__ import annotations

import msgspec

__all__ = ["Memory"]


class Memory(msgspec.Struct, array_like=True):
    """`key`: that was told and is still down; `is_speaking`: whether the caller was told to be;
    `waiting`: how many samples of the agent's stream wait for a packet to be full. Appended to,
    with defaults, and never reordered."""

    key: str = ""
    is_speaking: bool = False
    waiting: int = 0
