import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator

from skvit._images import ReadOptions, check_images
from skvit._images._gather import gather_images, resize_stack

Image = pytest.importorskip("PIL.Image")
RESIZED = ReadOptions(size=(16, 16))


def door(X, channels="auto", **options):
    return check_images(
        BaseEstimator(),
        X,
        reset=True,
        channels=channels,
        options=ReadOptions(**options),
    )


@pytest.mark.parametrize("container", [list, tuple, pd.Series])
@pytest.mark.parametrize("item", [np.asarray, torch.tensor, Image.fromarray])
def test_single_photographs_are_their_array(photo_tiles, container, item):
    tiles = photo_tiles[0]
    images, spec = door(container([item(tile) for tile in tiles]))
    assert spec.shape == (32, 32, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, tiles)


def test_resizing_is_that_of_pillow(photo_tiles):
    tiles = photo_tiles[0]
    images, _ = door(list(tiles), size=(9, 16), aspect="stretch")
    own = [Image.fromarray(t).resize((16, 9), Image.Resampling.BILINEAR) for t in tiles]
    np.testing.assert_array_equal(images, np.stack(own))


@pytest.mark.parametrize("form", ["list", "stack", "channels first"])
def test_every_form_is_resized_alike(photo_tiles, form):
    tiles = photo_tiles[0]
    X = {
        "list": list(tiles),
        "stack": tiles,
        "channels first": np.moveaxis(tiles, 3, 1),
    }[form]
    images, spec = door(X, size=(16, 16))
    assert spec.shape == (16, 16, 3)
    np.testing.assert_array_equal(images, door(list(tiles), size=(16, 16))[0])


def test_different_sizes_come_to_one():
    X = [np.full((h, w, 3), 9, np.uint8) for h, w in [(8, 8), (30, 10), (16, 64)]]
    images, _ = door(X, size=(16, 16))
    assert images.shape == (3, 16, 16, 3)
    assert [int((image == 9).all(axis=2).sum()) for image in images] == [256, 80, 64]


def test_different_sizes_are_listed():
    X = [np.zeros((8, 8)), np.zeros((9, 8)), np.zeros((8, 8))]
    message = (
        r"different shapes: \(8, 8\) \(2 images\), \(9, 8\) \(1 image\). .*resize="
    )
    with pytest.raises(ValueError, match=message):
        door(X)


def test_a_long_list_of_sizes_is_cut():
    X = [np.zeros((8, width)) for width in range(8, 20)]
    with pytest.raises(ValueError, match=r"\(8, 12\) \(1 image\) and 7 more"):
        door(X)


def test_gray_and_colour_of_pillow_together():
    gray, colour = Image.new("L", (8, 8), 5), Image.new("RGB", (8, 8), (1, 2, 3))
    images, _ = door([gray, colour])
    np.testing.assert_array_equal(images[:, 0, 0], [[5, 5, 5], [1, 2, 3]])
    assert door([gray, colour], color="gray")[1].channels == 1


def test_gray_where_colour_was_fitted():
    gray, colour = Image.new("L", (8, 8), 5), Image.new("RGB", (8, 8), (1, 2, 3))
    _, spec = door([gray, colour])
    images, _ = check_images(BaseEstimator(), [gray], reset=True, spec=spec)
    np.testing.assert_array_equal(images[0, 0, 0], [5, 5, 5])


@pytest.mark.parametrize("other", ["L", "RGB", "F"])
def test_pillow_of_different_ranges(other):
    deep = Image.new("I;16", (8, 8), 60_000)
    message = rf"different types: I;16 \(2\), {other} \(1\)\. Convert"
    with pytest.raises(ValueError, match=message):
        door([deep, Image.new(other, (8, 8)), deep])


@pytest.mark.parametrize("value", [1e300, -1e300, np.inf, np.nan])
@pytest.mark.parametrize("form", [list, np.stack])
def test_values_that_resizing_cannot_hold(form, value):
    image = np.zeros((9, 9))
    image[3, 3] = value
    with pytest.raises(ValueError, match=r"X .*(float32|NaN|infinity)"):
        door(form([image, image]), size=(4, 4))


def test_pillow_has_its_channels_last():
    images, spec = door([Image.new("RGB", (8, 3))] * 2, channels="first")
    assert spec.shape == (3, 8, 3)
    assert images.shape == (2, 3, 8, 3)


def test_ambiguous_channels_of_one_image():
    with pytest.raises(ValueError, match="channels='first'"):
        gather_images([np.zeros((3, 8, 3))], "auto", RESIZED)


@pytest.mark.parametrize("other", [None, "a", 3, np.zeros(4)])
def test_a_row_that_is_no_image(other):
    with pytest.raises(TypeError, match="row 1 of X is"):
        door([np.zeros((8, 8)), other])


@pytest.mark.parametrize("size", [None, (16, 16)])
def test_different_channels_need_no_resizing(size):
    X = [np.zeros((8, 9, 3)), np.zeros((8, 9))]
    message = r"one size with different channels: .* as many channels\.$"
    with pytest.raises(ValueError, match=message):
        door(X, size=size)


def test_an_image_of_pillow_that_is_cut_off(photo_tiles):
    """Pillow decodes an image only when its pixels are asked for."""
    buffer = io.BytesIO()
    Image.fromarray(photo_tiles[0][0]).save(buffer, "PNG")
    whole = Image.open(buffer)
    part = Image.open(io.BytesIO(buffer.getvalue()[:-90]))
    with pytest.raises(ValueError, match=r"row 1 of X, <PIL.* cannot be read: .*trunc"):
        door([whole, part])


@pytest.mark.parametrize("X", ["a.png", Path("a.png"), Image.new("L", (8, 8))])
def test_a_single_image(X):
    with pytest.raises(TypeError, match=r"one image where .* pass a list, \[X\]"):
        door(X)


@pytest.mark.parametrize("image", [np.zeros((0, 8)), np.zeros((1, 2, 8, 3))])
def test_impossible_shapes(image):
    with pytest.raises(ValueError, match="an image is"):
        gather_images([image], "auto", RESIZED)


def test_dates_are_no_images():
    with pytest.raises(TypeError, match="dtype datetime64"):
        gather_images([np.zeros((8, 8), "datetime64[s]")], "auto", RESIZED)


def test_a_stack_of_that_size_is_a_view():
    stack = np.zeros((3, 16, 16))
    assert np.shares_memory(resize_stack(stack, "auto", (16, 16), "pad"), stack)
