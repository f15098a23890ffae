"""Become the command given as arguments, with a life no longer than the parent's.

The kernel sends SIGTERM to a tethered process when its parent ends, however it ends: so a killed
`trunkline up` leaves no supervisor behind, and a killed supervisor no edge, worker or Redis.
Linux only; elsewhere the command simply runs. Both parents die in the same instant: still fine,
each end of life signals the next. It is run by path, so it imports nothing of ours.
"""

from __future__ import annotations

import os
import signal
import sys

try:
    import ctypes
except ImportError:  # a Python built without libffi: works, but untethered
    ctypes = None  # type: ignore[assignment]

__all__: list[str] = []

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; kept across exec, as long as the user id stays


def main(command: list[str]) -> None:
    parent = os.getppid()
    if sys.platform == "linux" and ctypes is not None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew that we care
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
