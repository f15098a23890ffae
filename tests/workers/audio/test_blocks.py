from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.audio.blocks import Blocks


def taken(blocks: Blocks, *sizes: int) -> list[list[int]]:
    """Samples 0, 1, 2 .. in pieces of these sizes, and the rest."""
    pcm = np.arange(sum(sizes), dtype=np.int16)
    found: list[list[int]] = []
    start = 0
    for size in sizes:
        found += blocks.take(pcm[start : start + size]).tolist()
        start += size
    found += blocks.rest().tolist()
    return found


def test_the_last_block_is_filled_up_with_silence() -> None:
    assert taken(Blocks(3), 7) == [[0, 1, 2], [3, 4, 5], [6, 0, 0]]


@given(size=st.integers(1, 20), sizes=st.lists(st.integers(0, 50)))
def test_pieces_of_any_size_give_the_same_blocks(size: int, sizes: list[int]) -> None:
    assert taken(Blocks(size), *sizes) == taken(Blocks(size), sum(sizes))


def test_nothing_kept_is_no_rest() -> None:
    blocks = Blocks(2)
    assert taken(blocks, 4) == [[0, 1], [2, 3]]
    assert blocks.rest().shape == (0, 2)


def test_what_is_kept_is_a_copy() -> None:
    blocks = Blocks(2)
    pcm = np.array([7], np.int16)
    blocks.take(pcm)
    pcm[0] = 9
    assert blocks.rest().tolist() == [[7, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.dtype(">i2")])
def test_other_samples_than_int16_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(TypeError, match="int16 samples are needed"):
        Blocks(2).take(np.zeros(4, dtype))
