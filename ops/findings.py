"""What `trunkline doctor` has found: how bad, about what, and what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["Finding", "Level", "failed", "found", "warned"]


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<4}  {self.subject:<8}  {self.text}"


def found(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def warned(subject: str, text: str) -> Finding:
    return Finding(Level.WARN, subject, text)


def failed(subject: str, text: str) -> Finding:
    return Finding(Level.FAIL, subject, text)
