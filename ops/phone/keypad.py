"""Keys that sound: for providers without a message for them, the caller's telephone makes tones.

Rule 1: the tones take the place of what the caller says; a telephone's microphone is off while a
        key is down. Between two keys the caller is heard.
Rule 2: a key sounds when, on another provider, its message would leave.
"""

from __future__ import annotations

from common.audio import AudioFormat
from workers.audio import codecs
from workers.audio.dtmf_tones import dtmf_tones

__all__ = ["FIRST_KEY_S", "KEY_INTERVAL_S", "press"]

#: Seconds into the speech at which the first key is pressed, and between two keys.
FIRST_KEY_S = 0.5
KEY_INTERVAL_S = 0.2
#: How long a key is down.
DOWN_MS = 100


def press(keys: str, speech: bytes, audio_format: AudioFormat) -> bytes:
    """The speech with the sound of the keys in it, longer where they last longer. `audio_format`:
    one without memory, so that any stretch of it can be replaced."""
    pressed = bytearray(speech)
    for number, key in enumerate(keys):
        tone = codecs.encode(
            dtmf_tones(key, audio_format.rate_hz, on_ms=DOWN_MS, off_ms=0), audio_format
        )
        begin = audio_format.bytes_for(_first_sample(number, audio_format))
        pressed += audio_format.silence(max(0, begin + len(tone) - len(pressed)))
        pressed[begin : begin + len(tone)] = tone
    return bytes(pressed)


def _first_sample(number: int, audio_format: AudioFormat) -> int:
    return audio_format.samples_for_ms(1000 * (FIRST_KEY_S + number * KEY_INTERVAL_S))
