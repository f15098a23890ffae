from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import msgspec
import pytest

from common import log


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    websocket = logging.getLogger("aiohttp.websocket")
    websocket_level = websocket.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    websocket.setLevel(websocket_level)


def configure(log_format: str = "text", level: str = "INFO") -> logging.Logger:
    log.configure("edge-0", level=level, log_format=log_format)
    return logging.getLogger("tests.common")


def test_line_for_people_has_time_level_process_sentence_and_facts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure().info("call started", extra={"call": "c1", "detail": "", "frames": 3})
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    edge-0 call started call=c1 frames=3\n",
        line,
    )


def test_line_for_machines_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json").warning("call %s", "ended", extra={"call": "c\n1", "reason": None})
    line = capsys.readouterr().err
    fact = msgspec.json.decode(line)
    assert line.count("\n") == 1
    assert fact.pop("at").endswith("Z")
    assert fact == {
        "level": "WARNING",
        "process": "edge-0",
        "message": "call ended",
        "call": "c\n1",
        "reason": None,
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_exception_comes_with_its_traceback(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = configure(log_format)
    try:
        raise KeyError("boom")
    except KeyError:
        logger.exception("session failed")
    line = capsys.readouterr().err
    assert "session failed" in line
    assert "Traceback (most recent call last)" in line
    assert "KeyError: 'boom'" in line


def test_fact_that_json_does_not_know_is_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json").info("odd", extra={"what": ValueError("x")})
    assert msgspec.json.decode(capsys.readouterr().err)["what"] == "x"


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="WARNING").info("chatter")
    assert capsys.readouterr().err == ""


def test_words_of_a_peer_that_aiohttp_would_repeat_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()
    logging.getLogger("aiohttp.websocket").warning("Client protocols %r", "anything")
    assert capsys.readouterr().err == ""


def test_configured_twice_it_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    configure().info("once")
    assert capsys.readouterr().err.count("once") == 1
