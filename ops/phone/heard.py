"""What the caller heard, once the call is over: as samples, and the keys that sounded in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ops.phone.line import CallRecord
from workers.audio.codec import Pcm
from workers.audio.codecs import open_decoder
from workers.audio.dtmf_detector import DtmfDetector

__all__ = ["Heard", "keys", "samples"]


class Heard(NamedTuple):
    """At the decoder's rate, which need not be the format's."""

    pcm: Pcm
    rate_hz: int


def samples(record: CallRecord) -> Heard:
    """Without the pauses between what was played."""
    decoder = open_decoder(record.play_format)
    payloads = record.playout.heard_payloads(now=record.ended_at)
    pcm = [decoder.decode(payload) for payload in payloads]
    return Heard(np.concatenate([np.zeros(0, np.int16), *pcm]), decoder.rate_hz)


def keys(record: CallRecord) -> str:
    """Those that the far end pressed: by message where it has one, by their sound elsewhere."""
    if record.dialect.takes_dtmf:
        return "".join(record.keys)
    pcm, rate_hz = samples(record)
    return "".join(DtmfDetector(rate_hz).process(pcm))
