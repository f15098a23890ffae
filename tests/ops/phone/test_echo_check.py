from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.phone.echo_check import IN_FLIGHT_S, Cut, EchoCheck, check_echo

SIZE = 160
DELAY_S = 0.010

Timed = tuple[bytes, float]


def frame(number: int) -> bytes:
    return random.Random(number).randbytes(SIZE)


UNIQUE = [frame(number) for number in range(200)]
SILENCE = b"\xff" * SIZE
#: As speech is: words, and the same silence between them.
SPEECH = [SILENCE if number % 40 >= 25 else payload for number, payload in enumerate(UNIQUE)]


def sent_at(number: int) -> float:
    return number * 0.02


def echo_of(sent: list[bytes]) -> list[Timed]:
    return [(payload, sent_at(number) + DELAY_S) for number, payload in enumerate(sent)]


def check(sent: list[bytes], back: list[Timed], *cuts: Cut) -> EchoCheck:
    received, arrivals = b"", []
    for payload, at in back:
        received += payload
        arrivals.append((len(received), at))
    times = [sent_at(number) for number in range(len(sent))]
    return check_echo(sent, times, received, arrivals, cuts)


def counts(result: EchoCheck) -> dict[str, int]:
    names = ("lost", "repeated", "out_of_order", "unknown", "cut_off")
    return {name: getattr(result, name) for name in names if getattr(result, name)}


BOTH = pytest.mark.parametrize("sent", [UNIQUE, SPEECH], ids=["unique", "speech"])


@BOTH
def test_perfect_echo(sent: list[bytes]) -> None:
    result = check(sent, echo_of(sent))
    assert counts(result) == {}
    assert result.in_step == len(sent)
    assert result.round_trips_ms == pytest.approx([10] * len(sent))
    assert result.is_echo


@BOTH
def test_nothing_back_is_all_lost(sent: list[bytes]) -> None:
    result = check(sent, [])
    assert counts(result) == {"lost": len(sent)}
    assert not result.is_echo


def test_nothing_sent_is_nothing_lost() -> None:
    assert counts(check([], [])) == {}


@BOTH
@pytest.mark.parametrize("at", [0, 10, 30, 199])
def test_one_lost(sent: list[bytes], at: int) -> None:
    back = echo_of(sent)
    del back[at]
    assert counts(check(sent, back)) == {"lost": 1}


@BOTH
@pytest.mark.parametrize("at", [0, 10, 30, 199])
def test_one_repeated(sent: list[bytes], at: int) -> None:
    back = echo_of(sent)
    back.insert(at, back[at])
    assert counts(check(sent, back)) == {"repeated": 1}


@BOTH
@pytest.mark.parametrize("at", [0, 10, 198])
def test_two_swapped(sent: list[bytes], at: int) -> None:
    back = echo_of(sent)
    first, second = back[at], back[at + 1]
    back[at : at + 2] = [(second[0], second[1]), (first[0], second[1])]
    different = sent[at] != sent[at + 1]
    assert counts(check(sent, back)) == ({"out_of_order": 1} if different else {})


@BOTH
def test_burst_lost(sent: list[bytes]) -> None:
    back = echo_of(sent)
    assert counts(check(sent, back[:45] + back[120:])) == {"lost": 75}


def test_looped_speech_that_loses_a_second() -> None:
    sent = SPEECH * 5
    back = echo_of(sent)
    assert counts(check(sent, back[:330] + back[380:])) == {"lost": 50}


def test_stall_that_is_made_up_for_loses_nothing_but_time() -> None:
    back = [(payload, max(at, 3.0)) for payload, at in echo_of(UNIQUE)]
    result = check(UNIQUE, back)
    assert counts(result) == {}
    assert max(result.round_trips_ms) == pytest.approx(3000)


def test_greeting_before_the_echo_is_unknown_and_it_is_still_an_echo() -> None:
    greeting = [(frame(1000 + number), 0.0) for number in range(50)]
    result = check(UNIQUE, greeting + echo_of(UNIQUE))
    assert counts(result) == {"unknown": 50}
    assert result.is_echo


def test_damaged_frame_is_lost_and_something_else_is_heard() -> None:
    back = echo_of(UNIQUE)
    back[20] = (b"\x00" + back[20][0][1:], back[20][1])
    assert counts(check(UNIQUE, back)) == {"lost": 1, "unknown": 1}


def test_other_speech_is_no_echo() -> None:
    result = check(UNIQUE, [(frame(5000 + number), 1.0) for number in range(200)])
    assert counts(result) == {"lost": 200, "unknown": 200}
    assert not result.is_echo


def test_shuffled_frames_are_no_echo() -> None:
    back = echo_of(UNIQUE)
    random.Random(1).shuffle(back)
    assert not check(UNIQUE, [(payload, 100.0) for payload, _ in back]).is_echo


@pytest.mark.parametrize("size", [1, 80, 100, 320, 1600, 7777])
def test_any_slicing_is_an_echo(size: int) -> None:
    stream = b"".join(UNIQUE)
    back = [(stream[at : at + size], at / 8000 + 1.0) for at in range(0, len(stream), size)]
    assert counts(check(UNIQUE, back)) == {}


def test_lost_slice_costs_only_the_frames_it_touched() -> None:
    stream = b"".join(UNIQUE)
    back = [(stream[at : at + 100], at / 8000 + 1.0) for at in range(0, len(stream), 100)]
    del back[77]
    assert check(UNIQUE, back).lost == 2


def test_frame_cannot_come_back_before_it_was_sent() -> None:
    result = check(UNIQUE, [(payload, 0.0) for payload in UNIQUE])
    assert result.in_step == 1  # the first was sent at 0.0
    assert result.lost == 199


def test_round_trip_ends_with_the_last_byte_of_the_frame() -> None:
    sent = UNIQUE[:1]
    result = check(sent, [(sent[0][:100], 0.010), (sent[0][100:], 0.030)])
    assert result.round_trips_ms == pytest.approx([30])


def test_frames_on_their_way_at_a_cut_are_cut_off() -> None:
    back = echo_of(UNIQUE)
    del back[50:53]
    assert counts(check(UNIQUE, back)) == {"lost": 3}
    at = sent_at(52)
    assert counts(check(UNIQUE, back, Cut(at, at))) == {"cut_off": 3}


def test_frames_sent_after_a_cut_are_lost() -> None:
    back = echo_of(UNIQUE)
    del back[50:53]
    at = sent_at(51)
    assert counts(check(UNIQUE, back, Cut(at, at))) == {"cut_off": 2, "lost": 1}
    assert counts(check(UNIQUE, back, Cut(at, sent_at(52)))) == {"cut_off": 3}


def test_frames_overtaken_before_a_cut_are_lost() -> None:
    back = echo_of(UNIQUE)
    del back[50:53]
    at = sent_at(60)
    assert counts(check(UNIQUE, back, Cut(at, at))) == {"lost": 3}


def test_frames_that_should_long_have_been_back_are_lost() -> None:
    flying = round(IN_FLIGHT_S / 0.02)
    result = check(UNIQUE, echo_of(UNIQUE)[:50], Cut(100.0, 100.0))
    assert result.cut_off == flying + 1
    assert result.lost == 150 - flying - 1


FEW = st.lists(st.sampled_from([frame(n) for n in range(4)]), max_size=25)


@given(FEW, FEW, st.lists(st.floats(0, 200), max_size=3))
def test_every_frame_counts_once(sent: list[bytes], back: list[bytes], cuts: list[float]) -> None:
    result = check(sent, [(payload, 100.0) for payload in back], *(Cut(at, at) for at in cuts))
    assert result.in_step + result.out_of_order + result.lost + result.cut_off == len(sent)
    assert sum(result[:3]) + result.unknown == len(back) or not sent
    assert len(result.round_trips_ms) == result.in_step + result.out_of_order


@given(FEW, st.sets(st.integers(0, 24)))
def test_only_losses_are_only_losses(sent: list[bytes], dropped: set[int]) -> None:
    back = [payload for number, payload in enumerate(sent) if number not in dropped]
    result = check(sent, [(payload, 100.0) for payload in back])
    assert counts(result) == ({"lost": len(sent) - len(back)} if len(back) < len(sent) else {})


def packet(number: int) -> bytes:
    return random.Random(number).randbytes(20 + number % 37)


PACKETS = [packet(number) for number in range(100)]


def test_packets_of_a_codec_come_one_a_message() -> None:
    result = check(PACKETS, echo_of(PACKETS))
    assert (result.in_step, result.lost, result.unknown) == (100, 0, 0)
    assert result.round_trips_ms == pytest.approx([10] * 100)


def test_packets_that_are_missing_doubled_or_foreign_are_counted() -> None:
    back = echo_of(PACKETS)
    back = [*back[:10], *back[11:20], back[19], (b"foreign", 0.42), *back[20:]]
    result = check(PACKETS, back)
    assert (result.lost, result.repeated, result.unknown) == (1, 1, 1)


@pytest.mark.parametrize(("after_s", "is_echo"), [(0.01, True), (1.9, True), (2.1, False)])
def test_what_is_said_again_later_is_no_echo(after_s: float, is_echo: bool) -> None:
    back = [(payload, sent_at(number) + after_s) for number, payload in enumerate(UNIQUE)]
    assert check(UNIQUE, back).is_echo is is_echo
    assert not check(UNIQUE, []).is_echo
