from __future__ import annotations

import msgspec

from workers.running.memory import Memory


def test_an_older_one_is_understood() -> None:
    """Fields are appended: a call may be taken over by a newer worker, and by an older one."""
    newer = msgspec.msgpack.encode(["5", True, 7, "appended"])
    assert msgspec.msgpack.decode(newer, type=Memory) == Memory("5", True, 7)
    assert msgspec.msgpack.decode(b"\x91\xa15", type=Memory) == Memory("5")
