"""How far a call has come, and what of it is not committed yet; no I/O.

At most one commit is on its way; what happens meanwhile goes into the next.
"""

from __future__ import annotations

from common.bus import Claim, Commit

__all__ = ["Progress"]

#: A cursor that moved without commands or state is worth a commit only so often.
_CURSOR_COMMIT_S = 0.1


class Progress:
    """How far the call has come, and what of it is not committed yet."""

    def __init__(self, claim: Claim) -> None:
        self.cursor = claim.cursor
        self.partial = claim.partial
        self.state = claim.state
        self.commands: list[bytes] = []
        self._number = claim.commit
        self._committed_cursor = claim.cursor
        self._committed_state = claim.state
        self._committed_at = 0.0
        self._on_its_way: Commit | None = None
        self._is_closed = False

    def next_commit(self, *, now: float) -> Commit | None:
        """The next step, if there is one to take now."""
        if self._is_closed or self._on_its_way is not None:
            return None
        has_new_state = self.state != self._committed_state
        if not self.commands and not has_new_state:
            has_moved = self.cursor != self._committed_cursor
            if not has_moved or now - self._committed_at < _CURSOR_COMMIT_S:
                return None
        self._committed_at = now
        commands, self.commands = self.commands, []
        self._on_its_way = Commit(
            self._number + 1,
            self.cursor,
            self.partial,
            self.state if has_new_state else None,
            commands,
        )
        return self._on_its_way

    def committed(self) -> None:
        step = self._on_its_way
        assert step is not None
        self._on_its_way = None
        self._number = step.number
        self._committed_cursor = step.cursor
        if step.state is not None:
            self._committed_state = step.state

    def close(self) -> None:
        """The call is over, or not ours any more: what is not committed never will be."""
        self._is_closed = True

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits for a commit, not even a cursor."""
        return self._is_closed or (
            self._on_its_way is None
            and not self.commands
            and self.cursor == self._committed_cursor
            and self.state == self._committed_state
        )
