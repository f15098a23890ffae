"""One row of the table: what a fault cost, and whether that is what it may cost."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

__all__ = ["Row", "table"]

_HEADINGS = (
    "fault", "calls", "faults", "detected ms", "taken over ms", "gap ms", "late ms", "lost",
    "repeated", "disordered", "takeovers", "fenced", "already", "keys left", "verdict",
)  # fmt: skip


#: Several processes waited for a quarter of a second each.
_TOO_LATE_MS = 1000


class Row(msgspec.Struct):
    """Times are the longest over all rounds, counts their sum. `detected_ms`: from the fault until
    the first call had its new owner; `taken_over_ms`: until the last had. `late_ms`: by how much
    the callers themselves were late to speak, and all others to run (`Strain`): the machine's
    doing, which makes gaps longer."""

    name: str
    title: str
    calls: int = 0
    rounds: int = 0
    detected_ms: float | None = None
    taken_over_ms: float | None = None
    gap_ms: float | None = None
    late_ms: float = 0.0
    lost: int = 0
    repeated: int = 0
    disordered: int = 0
    takeovers: int = 0
    fenced: int = 0
    already: int = 0
    keys_left: int = 0
    failures: list[str] = []
    notes: list[str] = []
    skipped: str = ""

    @classmethod
    def new(cls, name: str, title: str) -> Row:
        return cls(name, title, failures=[], notes=[])

    @property
    def has_passed(self) -> bool:
        return not self.failures

    @property
    def verdict(self) -> str:
        if self.skipped:
            return "skipped"
        return "ok" if self.has_passed else "FAILED"

    def expect(self, is_so: bool, otherwise: str) -> None:
        """`otherwise` is what the table says when it is not so."""
        if not is_so:
            self.failures.append(otherwise)

    def at_most(self, value: float | None, limit: float, what: str) -> None:
        if value is None or value > limit:
            self.failures.append(f"{what}: {_cell(value)}, more than {limit:g}")

    def gap_within(self, limit_ms: float) -> None:
        """No more silence was heard, but for what the machine has to answer for. Where it has no
        time for a call, nothing can be told of gaps."""
        if self.late_ms > _TOO_LATE_MS:
            self.notes.append(f"gaps cannot be judged: {self.late_ms:.0f} ms are the machine's")
            return
        self.at_most(self.gap_ms, limit_ms + self.late_ms, "gap, ms")

    def took(self, detected_ms: float, taken_over_ms: float) -> None:
        self.detected_ms = max(self.detected_ms or 0.0, detected_ms)
        self.taken_over_ms = max(self.taken_over_ms or 0.0, taken_over_ms)

    def cells(self) -> list[str]:
        if self.skipped:
            return [self.name, *[""] * (len(_HEADINGS) - 2), self.verdict]
        values = (
            self.calls, self.rounds, self.detected_ms, self.taken_over_ms, self.gap_ms,
            self.late_ms, self.lost,
            self.repeated, self.disordered, self.takeovers, self.fenced, self.already,
            self.keys_left,
        )  # fmt: skip
        return [self.name, *map(_cell, values), self.verdict]


def table(rows: Sequence[Row]) -> str:
    cells = [list(_HEADINGS), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    lines = ["  ".join(map(str.rjust, line, widths)) for line in cells]
    lines.insert(1, "-" * len(lines[0]))
    for row in rows:
        lines += [f"{row.name}: {text}" for text in (*_reasons(row), *row.notes)]
    return "\n".join(lines)


def _reasons(row: Row) -> list[str]:
    if row.skipped:
        return [f"skipped: {row.skipped}"]
    return [f"FAILED: {failure}" for failure in row.failures]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
