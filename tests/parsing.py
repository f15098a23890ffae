"""A fault of CPython 3.11.0 to 3.11.7, kept out of the tests.

They count how deep a syntax tree is in one place for all trees. A collection of garbage in the
middle of one may run Python, or let another thread run; if that makes a tree too, the first one
fails: "SystemError: AST constructor recursion depth mismatch". Mended in 3.11.8. Hit are those who
parse a lot: pytest, which rewrites assertions and shows failures, and Hypothesis. The traceback
module parses too, but does without where that fails; so nothing of Trunkline is concerned.
"""

from __future__ import annotations

import ast
import functools
import gc
import sys
import threading
from typing import Any

__all__ = ["keep_collector_out"]


def keep_collector_out() -> None:
    """Of `ast.parse`, where it would do harm."""
    if (3, 11) <= sys.version_info[:3] < (3, 11, 8):
        ast.parse = _without_collector(ast.parse)


def _without_collector(parse: Any) -> Any:
    lock = threading.RLock()

    @functools.wraps(parse)
    def parse_undisturbed(*args: Any, **kwargs: Any) -> Any:
        with lock:
            was_enabled = gc.isenabled()
            gc.disable()
            try:
                return parse(*args, **kwargs)
            finally:
                if was_enabled:
                    gc.enable()

    return parse_undisturbed
