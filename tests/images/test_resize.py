import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skvit._images._resize import inner_size, resize_image, resized_dtype

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")

SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(SIDES, SIDES)
def test_padding_keeps_the_proportion(size, target):
    inner = inner_size(size, target, "pad")
    assert all(1 <= side <= limit for side, limit in zip(inner, target, strict=True))
    assert inner[0] == target[0] or inner[1] == target[1]
    scale = min(target[0] / size[0], target[1] / size[1])
    assert all(
        abs(side - max(1, old * scale)) <= 0.5 + 1e-9
        for side, old in zip(inner, size, strict=True)
    )


def test_stretching_does_not():
    assert inner_size((3, 7), (5, 5), "stretch") == (5, 5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float16", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 13])
def test_reduction_averages(dtype, channels):
    """Blocks of constant colour, so wide that the filter's reach stays inside."""
    colours = np.random.default_rng(0).integers(0, 200, (2, 2, channels))
    image = np.kron(colours, np.ones((40, 40, 1), int)).astype(dtype)
    small = resize_image(image, (20, 20), "stretch")
    assert small.dtype == dtype
    np.testing.assert_allclose(small[4, 4], colours[0, 0], atol=0.2)
    np.testing.assert_allclose(small[15, 4], colours[1, 0], atol=0.2)


def test_fine_stripes_become_gray():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 200
    small = resize_image(stripes, (8, 8), "stretch")
    np.testing.assert_allclose(small[:, 1:-1], 100, atol=5)


def test_the_rest_is_filled_with_zeros_on_both_sides():
    image = np.full((10, 20, 3), 7, np.uint8)
    padded = resize_image(image, (20, 20), "pad")
    assert (padded[5:15] == 7).all()
    assert not padded[:5].any()
    assert not padded[15:].any()


@pytest.mark.parametrize("size", [(40, 33), (33, 40), (21, 64), (9, 5), (2, 50)])
def test_padding_is_that_of_pillow(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    own = ImageOps.pad(Image.fromarray(image), (20, 15), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_image(image, (15, 20), "pad"), own)


@pytest.mark.parametrize("dtype", ["int8", "uint64", "int64", "uint32"])
def test_the_ends_of_the_range_stay_inside(dtype):
    limits = np.iinfo(dtype)
    image = np.array([[limits.min, limits.max] * 4] * 8, dtype=dtype)[..., None]
    grown = resize_image(image, (9, 9), "stretch").astype(float)
    assert grown.min() < 0.1 * limits.max + 0.9 * limits.min
    assert grown.max() > 0.9 * limits.max + 0.1 * limits.min


def test_an_image_of_that_size_is_a_view():
    image = np.zeros((4, 5, 3))
    assert resize_image(image, (4, 5), "pad") is image


def test_halves_of_whole_numbers_are_rounded():
    image = np.array([0, 3], np.uint16).reshape(2, 1, 1)
    assert resize_image(image, (1, 1), "stretch").item() == 2


def test_booleans_become_shares():
    image = np.array([[True, False], [True, False]])[..., None]
    assert resize_image(image, (1, 1), "stretch").item() == 0.5


@pytest.mark.parametrize("target", [(4, 4), (6, 6), (2, 3)])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "int64"])
def test_the_type_does_not_depend_on_the_size(dtype, target):
    image = np.ones((4, 4, 1), dtype)
    resized = resize_image(image, target, "pad")
    assert resized.dtype == resized_dtype(image.dtype)
