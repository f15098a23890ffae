from __future__ import annotations

import pytest

from common.audio import AudioFormat, Encoding
from common.errors import MessageError
from common.events import AudioReceived, DtmfReceived
from edge.adapter import KeyPressed, MediaReceived, Ordering
from edge.inbound import Inbound

FRAME = b"\xff" * 160
L16 = AudioFormat.pcm(8000)


def inbound(audio_format: AudioFormat | None = None, ordering: Ordering | None = None) -> Inbound:
    return Inbound(audio_format or AudioFormat.pcmu(), ordering or Ordering())


def heard(stream: Inbound, payload: bytes = FRAME, number: int | None = None) -> AudioReceived:
    (audio,) = stream.receive(MediaReceived(payload, number), now=0.0)
    return audio


def numbers(frames: list[AudioReceived]) -> list[int]:
    return [frame.sequence for frame in frames]


def test_frames_are_numbered_from_one_and_dated_from_zero() -> None:
    stream = inbound()
    assert [heard(stream) for _ in range(3)] == [
        AudioReceived(FRAME, 0, 1),
        AudioReceived(FRAME, 20, 2),
        AudioReceived(FRAME, 40, 3),
    ]


def test_time_is_counted_in_samples_and_rounded_only_when_told() -> None:
    stream = inbound(AudioFormat.pcm(44_100))
    last = [heard(stream, bytes(884)) for _ in range(1000)][-1]
    assert last.offset_ms == 999 * 442 * 1000 // 44_100


def test_providers_number_is_passed_on() -> None:
    (audio,) = inbound().receive(MediaReceived(FRAME, None, 17, "outbound"), now=0.0)
    assert (audio.provider_sequence, audio.track) == (17, "outbound")


def test_gap_is_counted_and_keeps_time_true() -> None:
    stream = inbound()
    heard(stream, number=1)
    assert heard(stream, number=4) == AudioReceived(FRAME, 60, 4, lost_frames=2)
    assert heard(stream, number=5) == AudioReceived(FRAME, 80, 5)


def test_packets_are_dated_by_what_they_say_of_themselves() -> None:
    opus = inbound(AudioFormat(Encoding.OPUS, 16_000))
    packets = [b"\x08a", b"\x18b", b"", b"\x08c", b"\x08d"]
    frames = [heard(opus, packet) for packet in packets if packet]
    assert [frame.offset_ms for frame in frames] == [0, 20, 80, 100]


def test_damaged_packet_is_as_long_as_the_one_before() -> None:
    opus = inbound(AudioFormat(Encoding.OPUS, 16_000))
    frames = [heard(opus, packet) for packet in (b"\x08a", b"\xfb\x00", b"\x08c")]
    assert [frame.offset_ms for frame in frames] == [0, 20, 40]


def test_gap_between_packets_keeps_time_true() -> None:
    amr_wb = inbound(AudioFormat(Encoding.AMR_WB, 16_000))
    packet = b"\xf0\x14" + bytes(32)
    assert heard(amr_wb, packet, number=1).offset_ms == 0
    assert heard(amr_wb, packet, number=4) == AudioReceived(packet, 60, 4, lost_frames=2)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_frame_that_came_before_is_dropped(number: int) -> None:
    stream = inbound()
    for before in (1, 2, 3):
        heard(stream, number=before)
    with pytest.raises(MessageError, match="duplicate"):
        heard(stream, number=number)
    assert heard(stream, number=4).sequence == 4


@pytest.mark.parametrize("number", [5000, 2**53])
def test_number_that_is_nonsense_is_no_gap(number: int) -> None:
    stream = inbound()
    heard(stream, number=1)
    with pytest.raises(MessageError, match="out_of_range"):
        heard(stream, number=number)
    assert heard(stream, number=2) == AudioReceived(FRAME, 20, 2)


def test_empty_frame_is_no_frame() -> None:
    stream = inbound()
    with pytest.raises(MessageError, match="empty"):
        heard(stream, b"")
    assert heard(stream).sequence == 1


def test_frames_that_only_a_decoder_could_date_are_numbered() -> None:
    stream = inbound(AudioFormat(Encoding.MP3, 48_000))
    heard(stream, b"packet")
    assert heard(stream, b"packet") == AudioReceived(b"packet", 0, 2)


def test_half_a_sample_is_kept_for_the_next_frame() -> None:
    stream = inbound(L16)
    assert heard(stream, b"abc").payload == b"ab"
    assert heard(stream, b"def") == AudioReceived(b"cdef", 0, 2)


def test_half_a_sample_alone_is_not_told() -> None:
    stream = inbound(L16)
    assert stream.receive(MediaReceived(b"a"), now=0.0) == []
    assert heard(stream, b"b") == AudioReceived(b"ab", 0, 1)


def test_tracks_are_numbered_and_dated_apart() -> None:
    stream = inbound()
    for track in ("inbound", "outbound"):
        (first,) = stream.receive(MediaReceived(FRAME, 1, track=track), now=0.0)
        (second,) = stream.receive(MediaReceived(FRAME, 2, track=track), now=0.0)
        assert (first.offset_ms, second.offset_ms, second.sequence) == (0, 20, 2)


def test_third_track_is_none() -> None:
    stream = inbound()
    for track in ("inbound", "outbound"):
        stream.receive(MediaReceived(FRAME, track=track), now=0.0)
    with pytest.raises(MessageError, match="malformed"):
        stream.receive(MediaReceived(FRAME, track="upbound"), now=0.0)


def test_frames_out_of_order_are_put_in_order() -> None:
    stream = inbound(ordering=Ordering(frames=5, hold_ms=100))
    frames = [
        audio
        for number in (1, 3, 4, 2)
        for audio in stream.receive(MediaReceived(b"%d" % number, number), now=0.0)
    ]
    assert [frame.payload for frame in frames] == [b"1", b"2", b"3", b"4"]
    assert numbers(frames) == [1, 2, 3, 4]
    assert stream.next_time() is None


def test_missing_frame_is_waited_for_no_longer_than_the_window() -> None:
    stream = inbound(ordering=Ordering(frames=5, hold_ms=100))
    heard(stream, number=1)
    assert stream.receive(MediaReceived(FRAME, 3), now=7.0) == []
    assert stream.next_time() == pytest.approx(7.1)
    assert stream.tick(now=7.05) == []
    assert stream.tick(now=7.1001) == [AudioReceived(FRAME, 40, 3, lost_frames=1)]
    assert stream.next_time() is None


def test_keys_are_told_in_the_order_in_which_they_were_pressed() -> None:
    stream = inbound(ordering=Ordering(frames=5, hold_ms=100))
    stream.press(KeyPressed(DtmfReceived("2"), "2025-01-01T00:00:02Z"), now=1.0)
    stream.press(KeyPressed(DtmfReceived("1"), "2025-01-01T00:00:01Z"), now=1.05)
    assert stream.tick(now=1.09) == []
    assert stream.next_time() == pytest.approx(1.1)
    assert stream.tick(now=1.16) == [DtmfReceived("1"), DtmfReceived("2")]
