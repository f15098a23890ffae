"""Requests that are no HTTP: counted, and told in the log seldom and in one line.

aiohttp answers them itself, before any handler, and writes a traceback for each: a flood of the
log for anybody who asks for it. Everything else that it has to say about requests is a fault of
ours and passes.
"""

from __future__ import annotations

import logging

from aiohttp.http import HttpProcessingError

from edge import metrics
from edge.seldom import Seldom

__all__ = ["REQUESTS_LOG"]

#: What aiohttp is given to write to.
REQUESTS_LOG = logging.getLogger("edge.requests")

_seldom = Seldom(logging.getLogger(__name__))


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError):
        return True
    metrics.CALLS_REFUSED.labels("bad_request").inc()
    _seldom.info("request refused", "bad_request")
    return False


REQUESTS_LOG.addFilter(_is_ours)
# What aiohttp itself finds not worth a line (no HTTP at all) is to be counted as well.
REQUESTS_LOG.setLevel(logging.DEBUG)
