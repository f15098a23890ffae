"""The Lua scripts that change a call in Redis, and how to call them.

Each file in `lua/` opens with its keys, arguments and answers. Nothing else in the project writes
more than one key of a call at a time.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple

__all__ = [
    "ADOPT",
    "ANNOUNCE",
    "CLAIM",
    "COMMIT",
    "FINISH",
    "LEAVE",
    "RELEASE",
    "RENEW",
    "RESTORE",
    "SCRIPTS",
    "WITHDRAW",
    "Script",
]

Argument = bytes | str | int


class Script(NamedTuple):
    name: str
    source: bytes
    sha: bytes

    def call(self, keys: tuple[bytes, ...], *arguments: Argument) -> tuple[Argument, ...]:
        """The EVALSHA request."""
        return (b"EVALSHA", self.sha, len(keys), *keys, *arguments)


def _load(name: str) -> Script:
    source = files("common").joinpath("lua", f"{name}.lua").read_bytes()
    return Script(name, source, hashlib.sha1(source).hexdigest().encode())


# The life of a call, in order.
ANNOUNCE = _load("announce")
WITHDRAW = _load("withdraw")
CLAIM = _load("claim")
COMMIT = _load("commit")
RESTORE = _load("restore")
RELEASE = _load("release")
FINISH = _load("finish")
# The life of a process.
RENEW = _load("renew")
ADOPT = _load("adopt")
LEAVE = _load("leave")

SCRIPTS = {
    script.sha: script
    for script in (
        ANNOUNCE, WITHDRAW, CLAIM, COMMIT, RESTORE, RELEASE, FINISH, RENEW, ADOPT, LEAVE,
    )
}  # fmt: skip
