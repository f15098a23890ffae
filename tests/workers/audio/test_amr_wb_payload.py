from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import CodecError
from workers.audio.amr_wb_payload import (
    MAX_FRAMES,
    NO_DATA,
    NO_REQUEST,
    SID,
    SPEECH_MODES,
    Frame,
    Packing,
    Payload,
    pack,
    unpack,
    unpack_either,
)

EFFICIENT, ALIGNED = Packing.BANDWIDTH_EFFICIENT, Packing.OCTET_ALIGNED

# 3GPP TS 26.201, table 2: bits of a frame in core, by type.
BITS = {
    0: 132,
    1: 177,
    2: 253,
    3: 285,
    4: 317,
    5: 365,
    6: 397,
    7: 461,
    8: 477,
    SID: 40,
    14: 0,
    15: 0,
}

# Of one frame with its header, in bytes, as seen on the wire.
EFFICIENT_BYTES = [18, 24, 33, 37, 41, 47, 51, 59, 61]
ALIGNED_BYTES = [19, 25, 34, 38, 42, 48, 52, 60, 62]


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    frame_type = draw(st.sampled_from(sorted(BITS)))
    count = BITS[frame_type]
    value = draw(st.integers(0, (1 << count) - 1)) << (-count % 8)
    return Frame(frame_type, draw(st.booleans()), value.to_bytes((count + 7) // 8))


PAYLOADS = st.builds(
    lambda request, some: Payload(request, tuple(some)),
    st.sampled_from([*SPEECH_MODES, NO_REQUEST]),
    st.lists(frames(), min_size=1, max_size=6),
)
PACKINGS = st.sampled_from(list(Packing))


def frame(frame_type: int, byte: int = 0xA5, *, is_good: bool = True) -> Frame:
    count = BITS[frame_type]
    value = int.from_bytes(bytes([byte]) * 60) >> (480 - count) << (-count % 8)
    return Frame(frame_type, is_good, value.to_bytes((count + 7) // 8))


@given(PAYLOADS, PACKINGS)
def test_what_was_packed_is_unpacked(payload: Payload, packing: Packing) -> None:
    assert unpack(pack(payload, packing), packing) == payload


@given(st.binary(max_size=200), PACKINGS)
@example(b"", EFFICIENT)
@example(b"\xff" * 65_536, EFFICIENT)
@example(b"\xff" * 65_536, ALIGNED)
def test_any_bytes_are_a_payload_or_an_error_of_ours(data: bytes, packing: Packing) -> None:
    try:
        payload = unpack(data, packing)
    except CodecError:
        return
    assert 1 <= len(payload.frames) <= MAX_FRAMES
    if payload.is_clean:
        assert pack(payload, packing) == data


@given(st.binary(max_size=200), PACKINGS)
def test_what_is_neither_packing_is_an_error_of_ours(data: bytes, likely: Packing) -> None:
    try:
        payload, packing = unpack_either(data, likely)
    except CodecError:
        for each in Packing:
            with pytest.raises(CodecError):
                unpack(data, each)
    else:
        assert unpack(data, packing) == payload


@pytest.mark.parametrize("mode", SPEECH_MODES)
def test_sizes_on_the_wire(mode: int) -> None:
    payload = Payload(NO_REQUEST, (frame(mode),))
    assert len(pack(payload, EFFICIENT)) == EFFICIENT_BYTES[mode]
    assert len(pack(payload, ALIGNED)) == ALIGNED_BYTES[mode]


def test_fields_of_the_bandwidth_efficient_packing() -> None:
    """RFC 4867, 4.3: request 6, one frame (F 0) of type 2 with Q 1, then its bits."""
    data = pack(Payload(6, (frame(2, 0xFF),)), EFFICIENT)
    assert f"{int.from_bytes(data):0264b}" == "0110" + "0" + "0010" + "1" + "1" * 253 + "0"


def test_a_payload_as_telnyx_sends_it() -> None:
    """33 bytes, as a user's code shows how they begin."""
    data = b"\xf1\x6e" + bytes(31)
    payload, packing = unpack_either(data, ALIGNED)
    assert packing is EFFICIENT
    assert payload.mode_request == NO_REQUEST
    assert [(each.type, each.is_good) for each in payload.frames] == [(2, True)]


def test_fields_of_the_octet_aligned_packing() -> None:
    """RFC 4867, 4.4: each field filled up to whole bytes."""
    payload = Payload(NO_REQUEST, (frame(SID, 0xFF), frame(NO_DATA, is_good=False)))
    assert pack(payload, ALIGNED).hex() == "f0" + "cc" + "78" + "ff" * 5


@pytest.mark.parametrize("packing", list(Packing))
@given(payload=PAYLOADS)
def test_packing_is_told_by_any_payload_that_fits_only_one(
    packing: Packing, payload: Payload
) -> None:
    data = pack(payload, packing)
    try:
        is_told = not unpack(data, packing.other).is_clean
    except CodecError:
        is_told = True
    told, as_packed = unpack_either(data, packing.other)
    assert as_packed is (packing if is_told else packing.other)
    assert not is_told or told == payload


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("request_", [0, 2, 8, NO_REQUEST])
@pytest.mark.parametrize("frame_type", [*SPEECH_MODES, SID])
def test_packing_is_told_by_every_single_frame(
    packing: Packing, request_: int, frame_type: int
) -> None:
    payload = Payload(request_, (frame(frame_type),))
    for likely in Packing:
        assert unpack_either(pack(payload, packing), likely) == (payload, packing)


def test_filling_that_is_not_zero_is_ignored() -> None:
    clean = pack(Payload(NO_REQUEST, (frame(2),)), ALIGNED)
    soiled = bytes([clean[0] | 0x0F, clean[1] | 0x03]) + clean[2:-1] + bytes([clean[-1] | 0x07])
    payload = unpack(soiled, ALIGNED)
    assert not payload.is_clean
    assert payload._replace(is_clean=True) == unpack(clean, ALIGNED)
    assert unpack_either(soiled, EFFICIENT) == (payload, ALIGNED)


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("frame_type", [10, 11, 12, 13])
def test_types_for_future_use_are_refused(packing: Packing, frame_type: int) -> None:
    fields = 0xF << 12 | frame_type << 7 if packing is EFFICIENT else 0xF0 << 8 | frame_type << 3
    with pytest.raises(CodecError, match=f"frame type {frame_type} is none"):
        unpack(fields.to_bytes(2), packing)


@pytest.mark.parametrize("packing", list(Packing))
def test_more_frames_than_anybody_sends_are_refused(packing: Packing) -> None:
    def of(count: int) -> bytes:
        return pack(Payload(NO_REQUEST, (frame(NO_DATA),) * count), packing)

    assert len(unpack(of(MAX_FRAMES), packing).frames) == MAX_FRAMES
    with pytest.raises(CodecError, match="more than 50 frames"):
        unpack(of(MAX_FRAMES + 1), packing)


@pytest.mark.parametrize("packing", list(Packing))
def test_missing_and_left_over_bytes_are_counted(packing: Packing) -> None:
    data = pack(Payload(NO_REQUEST, (frame(2),)), packing)
    with pytest.raises(CodecError, match="2 bytes are missing"):
        unpack(data[:-2], packing)
    with pytest.raises(CodecError, match="3 bytes too many"):
        unpack(data + bytes(3), packing)


@pytest.mark.parametrize("packing", list(Packing))
def test_the_error_is_that_of_the_likely_packing(packing: Packing) -> None:
    data = pack(Payload(NO_REQUEST, (frame(8),)), packing) + bytes(40)
    with pytest.raises(CodecError, match="40 bytes too many"):
        unpack_either(data, packing)
