"""The tail: the longest function, file and class, the most attributes and parameters. Medians are
short everywhere; what makes code hard to read is its extremes, so these have a budget."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import ROOT, source_files

MAX_FILE_LINES = 300
MAX_CLASS_LINES = 250
MAX_STATEMENTS = 40
MAX_ATTRIBUTES = 12
MAX_PARAMETERS = 7

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[_Function]:
    return (node for node in ast.walk(tree) if isinstance(node, _Function))


def classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def statements(function: _Function) -> int:
    """With those of nested functions, without docstrings."""
    return sum(
        isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in ast.walk(function)
    ) - 1  # fmt: skip


def parameters(function: _Function) -> int:
    """`self` and `cls` count as well: one rule for functions and methods."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len(named) + (arguments.vararg is not None) + (arguments.kwarg is not None)


def attributes(owner: ast.ClassDef) -> set[str]:
    """Names that are assigned on `self`."""
    return {
        node.attr
        for node in ast.walk(owner)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def lines(node: ast.ClassDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def faults_in(source: str) -> Iterator[str]:
    """What is over its budget, each as `line: what`."""
    tree = ast.parse(source)
    length = len(source.splitlines())
    if length > MAX_FILE_LINES:
        yield f"1: {length} lines, more than {MAX_FILE_LINES}"
    for function in functions(tree):
        where = f"{function.lineno}: {function.name} has"
        if (count := statements(function)) > MAX_STATEMENTS:
            yield f"{where} {count} statements, more than {MAX_STATEMENTS}"
        if (count := parameters(function)) > MAX_PARAMETERS:
            yield f"{where} {count} parameters, more than {MAX_PARAMETERS}"
    for owner in classes(tree):
        where = f"{owner.lineno}: {owner.name} has"
        if (count := lines(owner)) > MAX_CLASS_LINES:
            yield f"{where} {count} lines, more than {MAX_CLASS_LINES}"
        if (count := len(attributes(owner))) > MAX_ATTRIBUTES:
            yield f"{where} {count} attributes, more than {MAX_ATTRIBUTES}"


def test_nothing_is_over_its_budget() -> None:
    offenders = [f"{path}:{fault}" for path in source_files() for fault in faults_in(read(path))]
    assert not offenders, "\n" + "\n".join(offenders)


def read(path: Path) -> str:
    return (ROOT / path).read_text()


def test_what_is_over_its_budget_is_named() -> None:
    body = "\n".join(f"    x = {number}" for number in range(41))
    assert list(faults_in(f"def f(a, b, c, d, e, *g, h=1, **i):\n{body}\n")) == [
        "1: f has 41 statements, more than 40",
        "1: f has 8 parameters, more than 7",
    ]
    assigned = "\n".join(f"        self.a{number} = 1" for number in range(13))
    assert list(faults_in(f"class C:\n    def f(self):\n{assigned}\n" + "\n" * 300)) == [
        "1: 315 lines, more than 300",
        "1: C has 13 attributes, more than 12",
    ]
    assert list(faults_in("class C:\n" + "    x = 1\n" * 250)) == [
        "1: C has 251 lines, more than 250"
    ]


def test_what_keeps_to_its_budget_is_fine() -> None:
    body = "\n".join(f"    x = {number}" for number in range(40))
    assert not list(faults_in(f'def f(a, b, c, d, e, f, g):\n    """Doc."""\n{body}\n'))
