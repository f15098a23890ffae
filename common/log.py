"""One line a fact, for people or for machines; facts go in `extra`, never into the sentence.

Rule: audio, payloads, tokens, digits pressed and headers are never logged.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

__all__ = ["configure"]

# What logging itself puts on every record; the rest came in through `extra`.
_BUILT_IN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(process: str, *, level: str, log_format: str) -> None:
    """`process` names the line's origin, for instance `edge-0`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if log_format == "json" else _Text(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It warns of what a peer offers, in the peer's own words, as often as the peer likes.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


class _Formatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @staticmethod
    def _facts(record: logging.LogRecord) -> dict[str, object]:
        return {key: value for key, value in vars(record).items() if key not in _BUILT_IN}


class _Text(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = {key: value for key, value in self._facts(record).items() if value != ""}
        facts = "".join(f" {key}={value}" for key, value in told.items())
        line = (
            f"{self._time(record)} {record.levelname:<7} {self._process} "
            f"{record.getMessage()}{facts}"
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Json(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": self._time(record),
            "level": record.levelname,
            "process": self._process,
            "message": record.getMessage(),
            **self._facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()
