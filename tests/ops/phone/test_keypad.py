from __future__ import annotations

import pytest

from common.audio import AudioFormat, Encoding
from ops.phone import keypad
from workers.audio import codecs
from workers.audio.dtmf_detector import DtmfDetector

FORMATS = [AudioFormat.pcmu(), AudioFormat(Encoding.PCMA, 8000), AudioFormat.pcm(24_000)]
EVERY_FORMAT = pytest.mark.parametrize("audio_format", FORMATS, ids=str)


def heard(audio: bytes, audio_format: AudioFormat) -> str:
    pcm = codecs.decode(audio, audio_format)
    return "".join(DtmfDetector(audio_format.rate_hz).process(pcm))


@EVERY_FORMAT
def test_every_key_can_be_heard(audio_format: AudioFormat) -> None:
    keys = "1234567890*#ABCD11"
    assert heard(keypad.press(keys, b"", audio_format), audio_format) == keys


@EVERY_FORMAT
def test_keys_sound_when_their_messages_would_leave(audio_format: AudioFormat) -> None:
    def at(ms: int) -> int:
        return audio_format.bytes_for(audio_format.samples_for_ms(ms))

    speech = b"\x11" * at(2000)
    pressed = keypad.press("12", speech, audio_format)
    assert len(pressed) == len(speech)
    assert pressed[: at(500)] == speech[: at(500)]
    assert pressed[at(600) : at(700)] == speech[: at(100)]
    assert pressed[at(800) :] == speech[at(800) :]
    for key, begin in (("1", 500), ("2", 700)):
        assert heard(pressed[at(begin) : at(begin + 100)], audio_format) == key


def test_keys_outlast_short_speech_in_silence() -> None:
    pressed = keypad.press("1", b"\x11" * 160, AudioFormat.pcmu())
    assert len(pressed) == 600 * 8
    assert pressed[160:4000] == b"\xff" * 3840


def test_no_keys_leave_speech_as_it_is() -> None:
    assert keypad.press("", b"abc", AudioFormat.pcmu()) == b"abc"
