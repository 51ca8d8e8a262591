from dataclasses import replace

import numpy as np
import pytest

from skvit.inspection._grid import finish, to_patches, to_pixels
from skvit.nn import ViTConfig

CONFIG = ViTConfig((5, 7), (2, 3), 1, 2, 8, 1, 2)


def test_pixels_have_the_value_of_the_patch_they_lie_in():
    grids = np.arange(18.0).reshape(2, 3, 3)
    pixels = to_pixels(grids, CONFIG)
    for n, row, column in np.ndindex(2, 5, 7):
        assert pixels[n, row, column] == grids[n, row // 2, column // 3]


def test_finish_lays_patches_row_by_row():
    values = np.arange(9.0)[None]
    np.testing.assert_array_equal(finish(values, CONFIG, False)[0, 1], [3, 4, 5])
    assert finish(values, CONFIG, True).shape == (1, 5, 7)


def test_patches_are_the_means_of_the_pixels_they_have():
    maps = np.random.default_rng(0).random((2, 5, 7))
    patches = to_patches(maps, CONFIG, 2).reshape(2, 3, 3)
    for n, row, column in np.ndindex(2, 3, 3):
        part = maps[n, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        assert patches[n, row, column] == pytest.approx(part.mean())


def test_patches_of_upsampled_grids_are_the_grids():
    grids = np.random.default_rng(0).random((2, 3, 3))
    back = to_patches(to_pixels(grids, CONFIG), CONFIG, 2)
    np.testing.assert_allclose(back, grids.reshape(2, 9))
    np.testing.assert_array_equal(to_patches(grids, CONFIG, 2), grids.reshape(2, 9))


def test_sequences_have_no_pixels():
    sequence = replace(CONFIG, patch_embed="sequence", sequence_shape=(4, 3))
    assert to_patches(np.zeros((2, 1, 4)), sequence, 2).shape == (2, 4)
    with pytest.raises(ValueError, match=r"must have shape \(2, 1, 4\): one value"):
        to_patches(np.zeros((2, 5, 7)), sequence, 2)


def test_other_shapes_and_values_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 3\) or \(2, 5, 7\)"):
        to_patches(np.zeros((2, 4, 3)), CONFIG, 2)
    with pytest.raises(ValueError, match="must be finite"):
        to_patches(np.full((2, 3, 3), np.nan), CONFIG, 2)
