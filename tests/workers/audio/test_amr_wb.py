from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import AgentError, CodecError
from tests.workers.audio.likeness import decoded, encoded, likeness, sine, speech
from workers.audio import amr_wb
from workers.audio.amr_wb import DELAY_MS, LIBRARY, MODE, AmrWbDecoder, AmrWbEncoder
from workers.audio.amr_wb_payload import (
    NO_DATA,
    NO_REQUEST,
    SID,
    SPEECH_MODES,
    Frame,
    Packing,
    Payload,
    pack,
    unpack,
)
from workers.audio.codec import Encoder

DECODERS = pytest.mark.parametrize("libav_name", ["libopencore_amrwb", "amrwb"])
SILENCE = np.zeros(320, np.int16)


def has_library() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


needs_encoder = pytest.mark.skipif(not has_library(), reason=f"{LIBRARY} is not installed")


def asking(mode: int, packing: Packing = Packing.BANDWIDTH_EFFICIENT) -> bytes:
    """What the other side sends when it wants a mode."""
    return pack(Payload(mode, (Frame(NO_DATA, True, b""),)), packing)


def sid(packing: Packing = Packing.BANDWIDTH_EFFICIENT) -> bytes:
    return pack(Payload(NO_REQUEST, (Frame(SID, True, bytes(5)),)), packing)


@needs_encoder
class TestEncoder:
    @pytest.mark.parametrize("packing", list(Packing))
    def test_round_trip(self, packing: Packing) -> None:
        pcm = speech(16_000)
        heard = decoded(AmrWbDecoder(), encoded(AmrWbEncoder(packing=packing), pcm))
        found = likeness(pcm, heard, 16_000)
        assert found.correlation >= 0.95
        assert found.delay_ms == pytest.approx(DELAY_MS, abs=0.1)

    @DECODERS
    def test_both_decoders_hear_a_tone(self, libav_name: str) -> None:
        pcm = sine(16_000)
        heard = decoded(AmrWbDecoder((libav_name,)), encoded(AmrWbEncoder(), pcm))
        assert likeness(pcm, heard, 16_000).correlation >= 0.9

    def test_packets_last_20_ms_at_the_rate_of_the_format(self) -> None:
        encoder: Encoder = AmrWbEncoder(8000)
        assert encoder.rate_hz == 16_000
        found = encoder.encode(np.zeros(641, np.int16)) + encoder.flush()
        assert [(len(each.payload), each.samples) for each in found] == [(33, 160)] * 3
        assert encoder.flush() == []

    @pytest.mark.parametrize("mode", SPEECH_MODES)
    @pytest.mark.parametrize("packing", list(Packing))
    def test_the_other_side_gets_the_mode_and_packing_that_it_wants(
        self, mode: int, packing: Packing
    ) -> None:
        encoder, decoder = AmrWbEncoder(), AmrWbDecoder()
        encoder.follow(decoder)
        decoder.decode(pack(Payload(mode, (Frame(SID, True, bytes(5)),)), packing))
        (sent,) = encoder.encode(SILENCE)
        payload = unpack(sent.payload, packing)
        assert payload.is_clean
        assert [frame.type for frame in payload.frames] == [mode]
        assert payload.mode_request == NO_REQUEST

    def test_a_request_is_withdrawn_by_one_for_no_mode(self) -> None:
        encoder, decoder = AmrWbEncoder(), AmrWbDecoder()
        encoder.follow(decoder)
        modes = []
        for wanted in (8, 12, NO_REQUEST):  # 12 is none, and ignored
            decoder.decode(asking(wanted))
            (sent,) = encoder.encode(SILENCE)
            modes.append(unpack(sent.payload, Packing.BANDWIDTH_EFFICIENT).frames[0].type)
        assert modes == [8, 8, MODE]

    def test_what_was_chosen_holds_until_the_other_side_sends(self) -> None:
        encoder = AmrWbEncoder(packing=Packing.OCTET_ALIGNED)
        encoder.follow(AmrWbDecoder())
        (sent,) = encoder.encode(SILENCE)
        assert len(sent.payload) == 34

    def test_every_other_sample_of_an_array_encodes_too(self) -> None:
        pcm = np.repeat(speech(16_000)[:6400], 2)
        assert AmrWbEncoder().encode(pcm[::2]) == AmrWbEncoder().encode(pcm[::2].copy())

    def test_its_memory_is_given_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        freed: list[int] = []
        library = amr_wb._library()
        real = library.E_IF_exit

        class Watched:
            E_IF_init = library.E_IF_init

            def E_IF_exit(self, state: int) -> None:  # noqa: N802
                freed.append(state)
                real(state)

        monkeypatch.setattr(amr_wb, "_library", Watched)
        encoder = AmrWbEncoder()
        state = encoder._state
        del encoder
        gc.collect()
        assert freed == [state]

    def test_at_the_end_of_a_process_its_memory_is_left_to_whoever_encodes(self) -> None:
        script = (
            "from workers.audio import amr_wb; real = amr_wb._library()\n"
            "class Watched: E_IF_init = real.E_IF_init; E_IF_exit = staticmethod(print)\n"
            "amr_wb._library = Watched; amr_wb.kept = amr_wb.AmrWbEncoder()"
        )
        command = [sys.executable, "-c", script]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
        assert (ran.stdout, ran.stderr) == ("", "")


def test_without_the_library_the_error_names_it_and_its_package(
    monkeypatch: pytest.MonkeyPatch, fresh_library: None
) -> None:
    monkeypatch.setattr(amr_wb, "LIBRARY", "libnone-such.so.0")
    with pytest.raises(
        AgentError,
        match=r"^AMR-WB cannot be encoded: install Debian's libvo-amrwbenc0 \(libnone-such\.so",
    ):
        AmrWbEncoder()


@pytest.fixture
def fresh_library() -> Iterator[None]:
    amr_wb._library.cache_clear()
    yield
    amr_wb._library.cache_clear()


@DECODERS
@pytest.mark.parametrize("packing", list(Packing))
def test_every_frame_lasts_20_ms_whatever_is_in_it(libav_name: str, packing: Packing) -> None:
    decoder = AmrWbDecoder((libav_name,))
    bad_speech = Frame(2, False, bytes(32))
    lost, nothing, noise = (
        Frame(14, True, b""),
        Frame(NO_DATA, True, b""),
        Frame(SID, True, bytes(5)),
    )
    every = (bad_speech, Frame(2, True, bytes(32)), lost, nothing, noise)
    for frames in [(each,) for each in every] + [every]:
        heard = decoder.decode(pack(Payload(NO_REQUEST, frames), packing))
        assert len(heard) == 320 * len(frames)
        assert heard.dtype == np.int16


def test_packing_is_learnt_and_kept_where_a_payload_fits_both() -> None:
    decoder = AmrWbDecoder()
    assert decoder.packing is None
    for packing in (Packing.OCTET_ALIGNED, Packing.BANDWIDTH_EFFICIENT):
        decoder.decode(sid(packing))
        assert decoder.packing is packing


@given(st.lists(st.binary(max_size=70), max_size=5))
def test_any_bytes_are_audio_or_an_error_of_ours(payloads: list[bytes]) -> None:
    decoder = AmrWbDecoder()
    for payload in payloads:
        try:
            heard = decoder.decode(payload)
        except CodecError:
            continue
        assert len(heard) % 320 == 0
        assert len(heard) > 0
    assert len(decoder.decode(sid())) == 320
