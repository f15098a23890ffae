"""How far a call has come, and what of it is not committed yet; no I/O.

Rule 1: at most one commit is on its way; what happens meanwhile goes into the next.
Rule 2: what Redis has answered may still be lost there, in a failover or with all its data. So the
        latest commands are remembered a while, to be given back (`lua/restore.lua`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from common.bus import Claim, Commit, Restored

__all__ = ["Progress"]

#: A cursor that moved without commands or state is worth a commit only so often.
_CURSOR_COMMIT_S = 0.1
#: How long a committed command is remembered: edges read it within milliseconds, and a failover
#: loses at most what was not replicated yet.
_REMEMBERED_S = 2.0


class Progress:
    def __init__(self, claim: Claim) -> None:
        self.cursor = claim.cursor
        self.partial = claim.partial
        self.state = claim.state
        self.commands: list[bytes] = []
        #: What Redis has: the last step that it answered for, and the state.
        self._last = Commit(claim.commit, claim.cursor, claim.partial, None, ())
        self._stored = claim.state
        #: Commands that were committed, and when; the first of them all has the number `_first`.
        self._remembered: deque[tuple[float, Sequence[bytes]]] = deque()
        self._first = claim.out + 1
        self._committed_at = 0.0
        self._on_its_way: Commit | None = None
        self._is_closed = False
        self._is_last = False

    def next_commit(self, *, now: float) -> Commit | None:
        """The next step, if there is one to take now."""
        if self._is_closed or self._on_its_way is not None:
            return None
        has_new_state = self.state != self._stored
        if not self.commands and not has_new_state:
            has_moved = self.cursor != self._last.cursor
            is_early = now - self._committed_at < _CURSOR_COMMIT_S and not self._is_last
            if not has_moved or is_early:
                return None
        self._committed_at = now
        commands, self.commands = self.commands, []
        self._on_its_way = Commit(
            self._last.number + 1,
            self.cursor,
            self.partial,
            self.state if has_new_state else None,
            commands,
        )
        return self._on_its_way

    def repeat(self) -> Commit | None:
        """The step on its way, should it have to be taken again."""
        return self._on_its_way

    def committed(self) -> None:
        step = self._on_its_way
        assert step is not None
        self._on_its_way = None
        self._last = step
        if step.state is not None:
            self._stored = step.state
        remembered = self._remembered
        remembered.append((self._committed_at, step.commands))
        while remembered[0][0] < self._committed_at - _REMEMBERED_S:
            self._first += len(remembered.popleft()[1])

    def remembered(self) -> Restored:
        """What Redis has answered for, to be given back to it."""
        number, cursor, partial, *_ = self._last
        commands = [command for _, each in self._remembered for command in each]
        return Restored(number, cursor, partial, self._stored, self._first, commands)

    @property
    def committed_cursor(self) -> int:
        return self._last.cursor

    def hurry(self) -> None:
        """Nothing will follow soon: a cursor is worth a commit now."""
        self._is_last = True

    def close(self) -> None:
        """The call is over, or not ours any more: what is not committed never will be."""
        self._is_closed = True

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits for a commit, not even a cursor."""
        return self._is_closed or (
            self._on_its_way is None
            and not self.commands
            and self.cursor == self._last.cursor
            and self.state == self._stored
        )
