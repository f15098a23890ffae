"""Sound files -> `Sound`: WAV of every width, FLAC, MP3, Ogg with Vorbis or Opus.

Rule 1: nothing is resampled here; that is done once it is known for which call.
Rule 2: a file is only a file: neither a name nor a playlist makes libav open anything else.
Rule 3: a file chooses among our codecs only. WAV and Ogg may hold any, also such as make up layouts
        of channels (libav's custom order), which PyAV 17.1 to 18.1 frees twice: a dead process.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from common.errors import AgentError
from workers.audio.av_codec import samples_of
from workers.audio.resampler import MAX_HZ, MIN_HZ
from workers.audio.sound import Sound

__all__ = ["load_sound"]

#: A worker holds whole files in memory, several at a time.
_MAX_S = 30 * 60

_SAMPLE_BYTES = 2

#: By the names of libav's decoders.
_CODECS = (
    *("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"),
    *("pcm_mulaw", "pcm_alaw", "adpcm_ms", "adpcm_ima_wav", "gsm_ms"),
    *("flac", "mp3", "mp3float", "vorbis", "opus", "libopus"),
)

_KINDS = {"format_whitelist": "wav,flac,mp3,ogg", "codec_whitelist": ",".join(_CODECS)}


def load_sound(path: str | Path) -> Sound:
    """Reads, decodes and mixes all channels to one: blocks for as long as that takes.

    Raises AgentError, naming the file, when it is no such file, damaged, without a sample, or
    longer than half an hour."""
    try:
        with open(path, "rb") as file:
            sound = _read(file)
    # ArgumentError: a kind of file that libav knows and that is none of ours.
    except (av.error.InvalidDataError, av.error.EOFError, av.error.ArgumentError):
        raise AgentError(f"{path}: damaged, or no WAV, FLAC, MP3 or Ogg file") from None
    # ValueError: a name that cannot be one, sound that changes its rate on the way, and our own.
    except (OSError, ValueError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AgentError(f"{path}: {reason}") from None
    if not len(sound.pcm):
        raise AgentError(f"{path}: holds no sound")
    return sound


def _read(file: BinaryIO) -> Sound:
    with av.open(file, "r", options=_KINDS) as container:
        # A stream of a codec that nobody knows has no context, and few attributes.
        known = [stream for stream in container.streams.audio if stream.codec_context is not None]
        if not known:
            return Sound(np.zeros(0, np.int16), MIN_HZ)
        stream = known[0]
        if stream.codec_context.name not in _CODECS:
            raise ValueError(f"{stream.codec_context.name} is not played: make it PCM, FLAC or MP3")
        if not MIN_HZ <= stream.rate <= MAX_HZ:
            raise ValueError(f"{stream.rate} Hz is not within {MIN_HZ} to {MAX_HZ} Hz")
        mixer = av.AudioResampler("s16", "mono", stream.rate)
        most = _MAX_S * stream.rate * _SAMPLE_BYTES
        data = bytearray()  # grows where it is: pieces to be joined would take twice the memory
        for frame in chain(container.decode(stream), (None,)):
            for part in mixer.resample(frame):
                data += samples_of(part).data
            if len(data) > most:
                raise ValueError(f"lasts longer than {_MAX_S // 60} min: play it in parts")
        return Sound(np.frombuffer(data, np.int16), stream.rate)
