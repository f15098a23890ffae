from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from typing import Any

import pytest

SOURCE = "x = [" + ",".join(["(a.b(c, d=[e]), {f: g})"] * 400) + "]"


def parse_deeper(calls: int) -> None:
    if calls:
        parse_deeper(calls - 1)
    else:
        ast.parse("1 + 2")


@pytest.fixture
def parsing_collector() -> Iterator[None]:
    """Each collection parses something, from further up the stack."""

    def parse(phase: str, info: dict[str, Any]) -> None:
        gc.callbacks.remove(parse)  # not for the collections that this causes
        parse_deeper(20)
        gc.callbacks.append(parse)

    thresholds = gc.get_threshold()
    gc.callbacks.append(parse)
    gc.set_threshold(50)
    yield
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(parse)


def test_collecting_garbage_does_not_spoil_a_syntax_tree(parsing_collector: None) -> None:
    for _ in range(20):
        assert len(ast.parse(SOURCE).body) == 1


def test_garbage_is_collected_all_the_same() -> None:
    assert gc.isenabled()
    ast.parse(SOURCE)
    assert gc.isenabled()
    with pytest.raises(SyntaxError):
        ast.parse("(")
    assert gc.isenabled()
