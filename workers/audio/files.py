"""Sound files -> `Sound`: WAV of every width, FLAC, MP3, Ogg with Vorbis or Opus.

Rule 1: nothing is resampled here; that is done once it is known for which call.
Rule 2: a file is only a file: neither a name nor a playlist makes libav open anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from common.errors import AgentError
from workers.audio.codec import Pcm
from workers.audio.resampler import MAX_HZ, MIN_HZ
from workers.sound import Sound

__all__ = ["load_sound"]

_KINDS = {"format_whitelist": "wav,flac,mp3,ogg"}


def load_sound(path: str | Path) -> Sound:
    """Reads, decodes and mixes all channels to one: blocks for as long as that takes.

    Raises AgentError, naming the file, when it is no such file, damaged, or without a sample."""
    try:
        with open(path, "rb") as file:
            sound = _read(file)
    except (av.error.InvalidDataError, av.error.EOFError):
        raise AgentError(f"{path}: damaged, or no WAV, FLAC, MP3 or Ogg file") from None
    # ValueError: a name that cannot be one, or sound that changes its rate on the way.
    except (OSError, ValueError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AgentError(f"{path}: {reason}") from None
    if not len(sound.pcm):
        raise AgentError(f"{path}: holds no sound")
    if not MIN_HZ <= sound.rate_hz <= MAX_HZ:
        raise AgentError(f"{path}: {sound.rate_hz} Hz is not within {MIN_HZ} to {MAX_HZ} Hz")
    return sound


def _read(file: BinaryIO) -> Sound:
    with av.open(file, "r", options=_KINDS) as container:
        # A stream of a codec that nobody knows has no context, and few attributes.
        known = [stream for stream in container.streams.audio if stream.codec_context is not None]
        if not known:
            return Sound(np.zeros(0, np.int16), MIN_HZ)
        stream = known[0]
        mixer = av.AudioResampler("s16", "mono", stream.rate)
        mixed = [part for frame in container.decode(stream) for part in mixer.resample(frame)]
        mixed += mixer.resample(None)
        pieces: list[Pcm] = [part.to_ndarray()[0] for part in mixed]
        return Sound(np.concatenate(pieces or [np.zeros(0, np.int16)]), stream.rate)
