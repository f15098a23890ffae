"""The sound of a telephone's keys, for providers that cannot press them for us.

A key is a pair of tones, one of the low and one of the high group (ITU-T Q.23, 11/1988, clause 6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.errors import AgentError
from workers.audio.codec import Pcm

__all__ = ["HIGH_HZ", "KEYS", "LOW_HZ", "ZERO_DBM0_PEAK", "dtmf_tones"]

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
#: The keypad, row by row: each low tone with every high one.
KEYS = "123A456B789C*0#D"

#: Peak, in int16, of a sine at 0 dBm0: G.711's loudest (table 5 of ITU-T G.711) is +3.17 dBm0.
ZERO_DBM0_PEAK = 32_124 / 10 ** (3.17 / 20)

# Two of them together still fit twice into full scale.
_TONE_PEAK = ZERO_DBM0_PEAK / 10 ** (10 / 20)
# A tone that starts at once clicks; Q.24 lets it take 5 ms.
_RAMP_MS = 2
# A minute of one key is a mistake, and a string of them a worker's memory.
_MAX_MS = 10_000


def dtmf_tones(digits: str, rate_hz: int, *, on_ms: int = 100, off_ms: int = 100) -> Pcm:
    """One key after another, each followed by its pause, at -10 dBm0 a tone.

    Raises AgentError for what is no key, and for one that is pressed for ever or not at all.
    Keys shorter than 40 ms, or pauses, need not be heard by the other side (ITU-T Q.24, table
    A-1)."""
    if not 0 < on_ms <= _MAX_MS:
        raise AgentError(f"a key is pressed for 1 to {_MAX_MS} ms, not {on_ms}")
    keys = [_key(digit, rate_hz, on_ms) for digit in digits]
    pause = np.zeros(_samples(off_ms, rate_hz), np.int16)
    return np.concatenate([part for key in keys for part in (key, pause)] or [pause[:0]])


def _key(digit: str, rate_hz: int, on_ms: int) -> Pcm:
    if digit not in KEYS:
        raise AgentError(f"{digit!r} is no key of a telephone")
    row, column = divmod(KEYS.index(digit), len(HIGH_HZ))
    time = np.arange(_samples(on_ms, rate_hz)) / rate_hz
    tones = np.sin(2 * np.pi * LOW_HZ[row] * time) + np.sin(2 * np.pi * HIGH_HZ[column] * time)
    samples = np.rint(_TONE_PEAK * tones * _envelope(len(time), rate_hz))
    key: Pcm = samples.astype(np.int16)
    return key


def _envelope(count: int, rate_hz: int) -> NDArray[np.float64]:
    """From silence to full and back, along a half cosine at each end."""
    ramp = max(1, min(_samples(_RAMP_MS, rate_hz), count // 2))
    from_an_end = np.minimum(np.arange(count), np.arange(count)[::-1]) + 0.5
    envelope: NDArray[np.float64] = np.sin(np.pi / 2 * np.minimum(1, from_an_end / ramp)) ** 2
    return envelope


def _samples(ms: int, rate_hz: int) -> int:
    return round(ms * rate_hz / 1000)
