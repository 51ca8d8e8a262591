import numpy as np
import pytest

from skvit._images._pillow import (
    is_pillow,
    pillow_channels,
    pillow_dtype,
    pillow_to_array,
)

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_is_pillow():
    assert is_pillow(Image.new("L", (2, 2)))
    assert not is_pillow(GRAY)


def test_gray():
    image = Image.fromarray(GRAY)
    np.testing.assert_array_equal(pillow_to_array(image, 1)[..., 0], GRAY)
    np.testing.assert_array_equal(pillow_to_array(image, 3), np.dstack([GRAY] * 3))


def test_colour():
    image = Image.fromarray(COLOUR)
    np.testing.assert_array_equal(pillow_to_array(image, 3), COLOUR)
    luma = COLOUR @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    np.testing.assert_allclose(pillow_to_array(image, 1)[..., 0], luma, atol=1)


def test_palettes_are_looked_up():
    image = Image.fromarray(COLOUR).quantize(200)
    assert image.mode == "P"
    assert pillow_channels("P", "auto") == 3
    np.testing.assert_allclose(pillow_to_array(image, 3).astype(int), COLOUR, atol=12)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La"])
def test_the_transparent_is_shown_on_white(mode):
    image = Image.fromarray(np.dstack([COLOUR, GRAY]), mode="RGBA")
    base = COLOUR if mode[0] == "R" else np.asarray(image.convert("LA"))[..., :1]
    image = image.convert("LA").convert(mode) if mode[0] == "L" else image.convert(mode)
    share = GRAY[..., None] / 255
    expected = base * share + 255 * (1 - share)
    channels = pillow_channels(mode, "auto")
    assert channels == (3 if mode[0] == "R" else 1)
    # Colours that were multiplied by their alpha have been rounded once more.
    found, tolerance = pillow_to_array(image, channels), 2 if mode[-1] == "a" else 1
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_alpha_is_kept_where_asked():
    rgba = np.dstack([COLOUR, GRAY])
    assert pillow_channels("RGB", "rgba") == 4
    np.testing.assert_array_equal(pillow_to_array(Image.fromarray(rgba), 4), rgba)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_deep_images_keep_their_type(dtype):
    values = (GRAY.astype(dtype) * 200).astype(dtype)
    image = Image.fromarray(values)
    assert pillow_dtype(image.mode) == dtype
    assert pillow_channels(image.mode, "rgb") == 1
    array = pillow_to_array(image, 1)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array[..., 0], values)
