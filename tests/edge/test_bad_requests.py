from __future__ import annotations

import logging

import pytest
from aiohttp.http import HttpProcessingError

from edge.bad_requests import REQUESTS_LOG
from tests.edge.calls import counted


def write_down(error: Exception) -> None:
    """As aiohttp does."""
    REQUESTS_LOG.error("Error handling request from %s", "127.0.0.1", exc_info=error)


def bad_requests() -> float:
    return counted("trunkline_edge_calls_refused_total", reason="bad_request")


def test_request_that_is_none_is_counted_and_leaves_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = bad_requests()
    for _ in range(3):
        write_down(HttpProcessingError(code=400, message="secret=1"))
    assert bad_requests() == before + 3
    assert caplog.text.count("\n") <= 1
    assert "secret" not in caplog.text


def test_what_aiohttp_would_not_write_down_is_counted_too() -> None:
    before = bad_requests()
    REQUESTS_LOG.debug("Error", exc_info=HttpProcessingError(code=400, message="TLS"))
    assert bad_requests() == before + 1


def test_fault_of_ours_passes_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = bad_requests()
    write_down(RuntimeError("a bug"))
    assert bad_requests() == before
    assert "RuntimeError: a bug" in caplog.text
