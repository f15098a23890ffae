"""The Lua scripts that change a call in Redis, and how to call them.

Each file in `lua/` opens with its keys, arguments and answers. Nothing else in the project writes
more than one key of a call at a time.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple

__all__ = ["ANNOUNCE", "CLAIM", "COMMIT", "FINISH", "SCRIPTS", "WITHDRAW", "Script"]

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


ANNOUNCE = _load("announce")
CLAIM = _load("claim")
COMMIT = _load("commit")
FINISH = _load("finish")
WITHDRAW = _load("withdraw")

SCRIPTS = {script.sha: script for script in (ANNOUNCE, CLAIM, COMMIT, FINISH, WITHDRAW)}
