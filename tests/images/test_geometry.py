import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skvit._images import (
    ImageSpec,
    grid_shape,
    pad_amounts,
    resolve_patch_size,
    resolve_stride,
)

IMAGE = ImageSpec(8, 12, 3)
TABLE = ImageSpec(1, 5, 1, kind="table")


@pytest.mark.parametrize(
    ("patch_size", "expected"),
    [(4, (4, 4)), ((2, 12), (2, 12)), ([8, 3], (8, 3)), (np.int64(2), (2, 2))],
)
def test_patch_size_on_images(patch_size, expected):
    resolved = resolve_patch_size(patch_size, IMAGE)
    assert resolved == expected
    assert all(type(length) is int for length in resolved)


@pytest.mark.parametrize(
    ("patch_size", "expected"),
    [(4, (1, 4)), (5, (1, 5)), (6, (1, 5)), ((1, 2), (1, 2)), ((9, 9), (1, 5))],
)
def test_patch_size_on_tables_is_cut_down(patch_size, expected):
    assert resolve_patch_size(patch_size, TABLE) == expected


@pytest.mark.parametrize("patch_size", [9, (9, 4), (4, 13)])
def test_patch_larger_than_the_image(patch_size):
    with pytest.raises(ValueError, match=r"`patch_size`=.*larger.*8 x 12 pixels"):
        resolve_patch_size(patch_size, IMAGE)


@pytest.mark.parametrize("value", [2.0, "4", (2, 2.0), (True, 2), None])
def test_lengths_that_are_no_integers(value):
    with pytest.raises(TypeError, match="`patch_size` must be a positive integer or"):
        resolve_patch_size(value, IMAGE)


@pytest.mark.parametrize("value", [0, (2, 0), (-1, 2), (1, 2, 3), ()])
def test_lengths_that_are_no_pair_of_positive_numbers(value):
    with pytest.raises(ValueError, match="`patch_size` must be a positive integer or"):
        resolve_patch_size(value, IMAGE)


@pytest.mark.parametrize(
    ("stride", "spec", "expected"),
    [
        (None, IMAGE, (4, 6)),
        (2, IMAGE, (2, 2)),
        ((1, 6), IMAGE, (1, 6)),
        (None, TABLE, (1, 5)),
        (3, TABLE, (1, 3)),
        ((4, 6), TABLE, (1, 5)),
    ],
)
def test_stride(stride, spec, expected):
    assert resolve_stride(stride, (4, 6), spec) == expected


@pytest.mark.parametrize("spec", [IMAGE, TABLE], ids=["image", "table"])
@pytest.mark.parametrize("stride", [5, (4, 7)])
def test_stride_longer_than_the_patch(stride, spec):
    with pytest.raises(ValueError, match=r"`stride`=.*longer than `patch_size`=\(4, 6"):
        resolve_stride(stride, (4, 6), spec)


def test_stride_of_the_wrong_kind():
    with pytest.raises(TypeError, match="`stride` must be"):
        resolve_stride(1.5, 4, IMAGE)


@settings(deadline=None)
@given(st.data())
def test_every_pixel_lies_in_a_patch_and_no_patch_is_idle(data):
    lengths, patches, steps = [], [], []
    for _ in range(2):
        lengths.append(data.draw(st.integers(1, 20)))
        patches.append(data.draw(st.integers(1, 20)))
        steps.append(data.draw(st.integers(1, patches[-1])))
    grid = grid_shape(tuple(lengths), tuple(patches), tuple(steps))
    padding = pad_amounts(tuple(lengths), tuple(patches), tuple(steps))
    for length, patch, step, count, pad in zip(
        lengths, patches, steps, grid, padding, strict=True
    ):
        ends = [i * step + patch for i in range(count)]
        assert ends[-1] == length + pad
        assert pad >= 0
        assert all(end < length for end in ends[:-1])
