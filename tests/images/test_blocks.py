import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skvit._images._blocks import BLOCK_VALUES, iter_blocks


@settings(deadline=None)
@given(
    shape=st.lists(st.integers(1, 7), min_size=2, max_size=4).map(tuple),
    block_values=st.integers(1, 400),
)
def test_blocks_cover_everything_once_within_the_limit(shape, block_values):
    seen = np.zeros(shape, dtype=int)
    one_row = seen[0, 0].size
    for block in iter_blocks(shape, block_values):
        assert seen[block].size <= max(block_values, one_row)
        seen[block] += 1
    assert (seen == 1).all()


def test_small_arrays_are_one_block():
    assert len(list(iter_blocks((100, 28, 28, 1)))) == 1


def test_one_large_image_is_cut_into_lines():
    height = 4 * (BLOCK_VALUES // 1000)
    blocks = list(iter_blocks((2, height, 1000)))
    assert len(blocks) == 8
    assert all(block[0].stop - block[0].start == 1 for block in blocks)


def test_blocks_are_filled():
    blocks = list(iter_blocks((1000, 32, 32, 3)))
    assert len(blocks) == -(-1000 // (BLOCK_VALUES // 3072))
