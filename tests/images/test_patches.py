import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skvit._images import grid_shape, patchify, unpatchify

DTYPES = ["uint8", "int8", "int64", "uint64", "bool", "float16", "float32", "float64"]


def patchify_slowly(images, patch_size, stride):
    """Patches cut by loops over samples, patches and pixels."""
    n_samples, height, width, channels = images.shape
    rows, columns = grid_shape((height, width), patch_size, stride)
    patches = np.zeros(
        (n_samples, rows, columns, *patch_size, channels), dtype=images.dtype
    )
    for i, r, c, y, x in np.ndindex(patches.shape[:5]):
        line, column = r * stride[0] + y, c * stride[1] + x
        if line < height and column < width:
            patches[i, r, c, y, x] = images[i, line, column]
    return patches.reshape(n_samples, rows * columns, -1)


def average_slowly(patches, shape, patch_size, stride):
    """Images whose pixels are the means of the patches over them, by loops."""
    height, width, channels = shape
    rows, columns = grid_shape((height, width), patch_size, stride)
    total = np.zeros((len(patches), *shape))
    count = np.zeros(total.shape)
    patches = patches.reshape(len(patches), rows, columns, *patch_size, channels)
    for r, c, y, x in np.ndindex(patches.shape[1:5]):
        line, column = r * stride[0] + y, c * stride[1] + x
        if line < height and column < width:
            total[:, line, column] += patches[:, r, c, y, x]
            count[:, line, column] += 1
    return total / count


@st.composite
def problems(draw):
    """Images, patch size and stride."""
    shape = (draw(st.integers(1, 3)), *(draw(st.integers(1, 9)) for _ in range(2)))
    shape = (*shape, draw(st.sampled_from([1, 2, 3])))
    patch_size = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    stride = tuple(draw(st.integers(1, length)) for length in patch_size)
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = (rng.normal(size=shape) * 100).astype(dtype)
    layout = draw(st.sampled_from(["C", "F", "first", "reversed"]))
    if layout == "first":
        images = np.moveaxis(np.moveaxis(images, 3, 1).copy(), 1, 3)
    elif layout == "reversed":
        images = images[:, ::-1, ::-1]
    else:
        images = np.array(images, order=layout)
    return images, patch_size, stride


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@settings(deadline=None, max_examples=300)
@given(problems())
def test_patches_are_those_of_loops_and_give_the_images_back(problem):
    images, patch_size, stride = problem
    patches = patchify(images, patch_size, stride)
    assert patches.dtype == images.dtype
    np.testing.assert_array_equal(
        patches, patchify_slowly(images, patch_size, stride), strict=True
    )
    back = unpatchify(patches, images.shape[1:], patch_size, stride)
    np.testing.assert_array_equal(back, images, strict=True)


@settings(deadline=None, max_examples=100)
@given(problems())
def test_overlaps_are_averaged(problem):
    images, patch_size, stride = problem
    patches = patchify(images, patch_size, stride)
    patches = np.random.default_rng(0).normal(size=patches.shape)
    shape = images.shape[1:]
    np.testing.assert_allclose(
        unpatchify(patches, shape, patch_size, stride),
        average_slowly(patches, shape, patch_size, stride),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "bool"])
def test_means_of_integers_are_rounded(dtype):
    high = 1 if dtype == "bool" else 121
    patches = np.array([[[high, high], [0, 0], [1, 1]]]).astype(dtype)
    images = unpatchify(patches, (1, 4, 1), (1, 2), (1, 1))
    assert images.dtype == dtype
    expected = [high, (high + 1) // 2, 1, 1]  # halves go up
    np.testing.assert_array_equal(images[0, 0, :, 0], np.array(expected).astype(dtype))


def test_without_stride_the_patches_lie_side_by_side():
    images = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    expected = images.reshape(2, 2, 2, 2, 3, 3).transpose(0, 1, 3, 2, 4, 5)
    np.testing.assert_array_equal(
        patchify(images, (2, 3)), expected.reshape(2, 4, 2 * 3 * 3)
    )


def test_photographs(photo_tiles):
    tiles, _ = photo_tiles
    patches = patchify(tiles, (16, 8))
    np.testing.assert_array_equal(
        patches[7, 5], tiles[7, 16:32, 8:16].reshape(-1), strict=True
    )
    np.testing.assert_array_equal(unpatchify(patches, (32, 32, 3), (16, 8)), tiles)


def test_large_integers_come_back_unrounded():
    images = np.array([2**63 + 1, 2**64 - 1, 1, 0], dtype=np.uint64)[
        None, None, :, None
    ]
    patches = patchify(images, (1, 3), (1, 1))
    back = unpatchify(patches, (1, 4, 1), (1, 3), (1, 1))
    np.testing.assert_array_equal(back, images, strict=True)


def test_other_byte_order_becomes_native():
    images = np.arange(16, dtype=">f4").reshape(1, 4, 4, 1)
    patches = patchify(images, (2, 2))
    assert patches.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(patches, patchify(images.astype("=f4"), (2, 2)))
