"""Sound files that agents play, read and decoded once for all calls; for any thread.

The cache is bounded by bytes; what was played last stays. A file that changed is read again.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from common.errors import AgentError
from workers.audio.files import load_sound
from workers.audio.sound import Sound

__all__ = ["Prompts"]


class _Key(NamedTuple):
    path: str
    changed_ns: int
    size: int


class Prompts:
    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[_Key, Sound] = OrderedDict()
        self._lock = Lock()

    def sound(self, path: str | Path) -> Sound:
        """Raises AgentError, naming the file, when it cannot be played."""
        key = _key(path)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        sound = load_sound(path)  # perhaps by two threads at once, but never under the lock
        with self._lock:
            self._keep(key, sound)
        return sound

    def _keep(self, key: _Key, sound: Sound) -> None:
        if key in self._kept or sound.pcm.nbytes > self._max_bytes:
            return
        self._kept[key] = sound
        self._bytes += sound.pcm.nbytes
        while self._bytes > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.pcm.nbytes


def _key(path: str | Path) -> _Key:
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise AgentError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return _Key(str(path), found.st_mtime_ns, found.st_size)
