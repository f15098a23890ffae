"""The numbered frames, and the score that they are played by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.system.chaos import frames, score
from tests.system.chaos.frames import Flag, Played, Said
from tests.system.chaos.score import Progress, Rules

NUMBERS = st.integers(0, 2**32 - 1)
SIZES = st.sampled_from([160, 320, 640, 960])
PLAYED = st.builds(
    Played, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2**64 - 1), st.sampled_from([*Flag, Flag(0)])
)


@given(st.builds(Said, NUMBERS, NUMBERS), SIZES)
def test_what_is_said_can_be_read(said: Said, size: int) -> None:
    payload = frames.pack_said(said, size)
    assert len(payload) == size
    assert frames.read_said(payload) == said
    assert frames.read_played(payload) is None


@given(PLAYED, SIZES)
def test_what_is_played_can_be_read(played: Played, size: int) -> None:
    payload = frames.pack_played(played, size)
    assert len(payload) == size
    assert frames.read_played(payload) == played
    assert frames.read_said(payload) is None


@given(PLAYED, SIZES, st.data())
def test_a_frame_with_any_other_byte_in_it_is_none(
    played: Played, size: int, data: st.DataObject
) -> None:
    payload = bytearray(frames.pack_played(played, size))
    place = data.draw(st.integers(0, size - 1))
    payload[place] ^= data.draw(st.integers(1, 255))
    assert frames.read_played(bytes(payload)) is None
    assert frames.read_played(bytes(payload[:place])) is None


@given(st.integers(0, 300), st.integers(0, 80), st.sampled_from([0, 50, 100]))
def test_the_score_numbers_every_frame_once(said: int, lead: int, clear_every: int) -> None:
    rules, progress = Rules(lead, clear_every), Progress(marks=[])
    played = list(score.begin(progress, rules).frames)
    for number in range(1, said + 1):
        played += score.fold(progress, rules, Said(7, number), b"x").frames
    assert [frame.sequence for frame in played] == list(range(1, len(played) + 1))
    assert len(played) == progress.played == score.played_after(said, rules)
    assert (progress.lost, progress.repeated, progress.disordered) == (0, 0, 0)


def test_the_score_counts_what_does_not_come_as_it_was_said() -> None:
    progress = Progress(marks=[])
    for number in (1, 2, 2, 5, 4):
        score.fold(progress, Rules(), Said(7, number), b"x")
    assert (progress.lost, progress.repeated, progress.disordered) == (2, 1, 1)
