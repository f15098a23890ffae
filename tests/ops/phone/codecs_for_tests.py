"""Codecs that this machine may lack: AMR-WB's encoder is a library of its own."""

from __future__ import annotations

import pytest

from common.audio import AudioFormat
from common.errors import AgentError
from workers.audio.codecs import open_encoder

__all__ = ["need_encoder"]


def need_encoder(audio_format: AudioFormat) -> None:
    """Skips the test, saying what is missing, where nothing can be said in this format."""
    try:
        open_encoder(audio_format)
    except AgentError as error:
        pytest.skip(str(error))
