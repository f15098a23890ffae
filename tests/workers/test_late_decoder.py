from __future__ import annotations

import pytest

from common.audio import AudioFormat, Encoding
from common.errors import AgentError
from workers.audio import codecs
from workers.late_decoder import LateDecoder


def test_it_is_the_decoder_of_its_format() -> None:
    decoder = LateDecoder(AudioFormat.pcmu())
    payload = bytes(range(160))
    assert decoder.rate_hz == 8000
    assert decoder.decode(payload).tolist() == codecs.decode(payload, decoder.format).tolist()
    assert decoder.opened is decoder.opened


def test_only_who_uses_it_is_told_that_there_is_none() -> None:
    decoder = LateDecoder(AudioFormat(Encoding.PCMU, 8000, channels=2))
    for use in (lambda: decoder.rate_hz, lambda: decoder.decode(b""), lambda: decoder.opened):
        with pytest.raises(AgentError, match="2 channels: one is needed"):
            use()
