import numpy as np
import pytest

from skvit._images import ImageSpec
from skvit._images._shape import check_image_shape, find_rows, find_stack

COLOUR = ImageSpec(4, 6, 3)
TABLE = ImageSpec(1, 10, 1, kind="table")


def described(spec):
    return spec.shape, spec.channels_first


@pytest.mark.parametrize(
    ("image_shape", "channels", "shape", "channels_first"),
    [
        ((4, 6), "auto", (4, 6, 1), False),
        ((4, 6), "first", (4, 6, 1), False),
        ([4, 6], "last", (4, 6, 1), False),
        ((np.int64(28), np.uint8(32)), "auto", (28, 32, 1), False),
        ((28, 32, 3), "auto", (28, 32, 3), False),
        ((3, 28, 32), "auto", (28, 32, 3), True),
        ((1, 28, 32), "auto", (28, 32, 1), True),
        ((1, 1, 1), "auto", (1, 1, 1), False),
        ((28, 32, 13), "last", (28, 32, 13), False),
        ((3, 28, 4), "last", (3, 28, 4), False),
        ((13, 28, 32), "first", (28, 32, 13), True),
        ((3, 28, 4), "first", (28, 4, 3), True),
        ((28, 32, 3), "first", (28, 32, 3), True),
        (np.array([28, 32, 3]), "auto", (28, 32, 3), False),
    ],
)
def test_image_shape(image_shape, channels, shape, channels_first):
    spec = check_image_shape(image_shape, channels)
    assert described(spec) == (shape, channels_first)
    assert all(type(size) is int for size in spec.shape)


def test_no_image_shape():
    assert check_image_shape(None, "auto") is None


@pytest.mark.parametrize("image_shape", [7, "ab", (8, 8.0), (8, True), (8, None), 2.5])
def test_image_shape_of_the_wrong_kind(image_shape):
    with pytest.raises(TypeError, match=r"`image_shape` must be .* positive integers"):
        check_image_shape(image_shape, "auto")


@pytest.mark.parametrize("image_shape", [(), (8,), (8, 8, 3, 1), (0, 8), (8, -8, 3)])
def test_image_shape_of_the_wrong_size(image_shape):
    with pytest.raises(ValueError, match=r"`image_shape` must be .* positive integers"):
        check_image_shape(image_shape, "auto")


@pytest.mark.parametrize(
    ("image_shape", "reason"),
    [
        ((3, 28, 3), "could both be its channels"),
        ((1, 28, 4), "could both be its channels"),
        ((13, 28, 28), "neither the first axis .* 1, 3 or 4"),
    ],
)
def test_ambiguous_image_shape(image_shape, reason):
    with pytest.raises(ValueError, match=rf"`image_shape`=.*{reason}.*channels='first"):
        check_image_shape(image_shape, "auto")


@pytest.mark.parametrize(
    ("n_features", "expected"),
    [
        (64, ImageSpec(8, 8, 1)),
        (81, ImageSpec(9, 9, 1)),
        (784, ImageSpec(28, 28, 1)),
        (49, ImageSpec(1, 49, 1, kind="table")),
        (1, ImageSpec(1, 1, 1, kind="table")),
        (65, ImageSpec(1, 65, 1, kind="table")),
        (3072, ImageSpec(1, 3072, 1, kind="table")),
    ],
)
def test_rows_of_which_nothing_is_known(n_features, expected):
    assert find_rows(n_features, None, None) == expected


def test_rows_like_those_of_fit():
    assert find_rows(64, None, ImageSpec(4, 16, 1)) == ImageSpec(4, 16, 1)
    assert find_rows(10, None, TABLE) == TABLE


def test_rows_of_a_declared_shape():
    declared = check_image_shape((3, 4, 6), "auto")
    found = find_rows(72, declared, COLOUR)
    assert found == COLOUR
    assert found.channels_first
    assert found.ndim == 2


def test_rows_that_are_not_of_the_declared_shape():
    with pytest.raises(ValueError, match=r"4 x 6 pixels with 3 .* 72 .* X has 71"):
        find_rows(71, COLOUR, None)


def test_rows_of_several_channels_need_a_declaration():
    with pytest.raises(ValueError, match=r"image_shape=\(4, 6, 3\).*\(3, 4, 6\)"):
        find_rows(72, None, COLOUR)


@pytest.mark.parametrize(
    ("sizes", "channels", "known", "shape", "channels_first"),
    [
        ((4, 6), "auto", None, (4, 6, 1), False),
        ((4, 6), "first", ImageSpec(4, 6, 1), (4, 6, 1), False),
        ((5, 6, 3), "auto", None, (5, 6, 3), False),
        ((3, 5, 6), "auto", None, (5, 6, 3), True),
        ((1, 8, 8), "auto", None, (8, 8, 1), True),
        ((8, 8, 4), "auto", None, (8, 8, 4), False),
        ((1, 1, 1), "auto", None, (1, 1, 1), False),
        ((13, 8, 8), "first", None, (8, 8, 13), True),
        ((8, 8, 13), "last", None, (8, 8, 13), False),
        ((3, 8, 3), "last", None, (3, 8, 3), False),
        ((3, 8, 3), "auto", ImageSpec(8, 3, 3), (8, 3, 3), True),
        ((13, 8, 9), "auto", ImageSpec(8, 9, 13), (8, 9, 13), True),
        ((1, 10), "auto", TABLE, (1, 10, 1), False),
    ],
)
def test_stacks(sizes, channels, known, shape, channels_first):
    found = find_stack((5, *sizes), channels, known, "someone says")
    assert described(found) == (shape, channels_first)
    assert found.ndim == 1 + len(sizes)


@pytest.mark.parametrize(
    ("sizes", "known", "reason"),
    [
        ((3, 8, 3), None, "could both be its channels"),
        ((8, 8, 13), None, "neither the first axis"),
        ((2, 8, 8), None, "neither the first axis"),
        ((3, 3, 3), ImageSpec(3, 3, 3), "could both be its channels"),
    ],
)
def test_ambiguous_stacks(sizes, known, reason):
    message = rf"X of shape \(5, .*{reason}.*channels='first'.*channels='last'"
    with pytest.raises(ValueError, match=message):
        find_stack((5, *sizes), "auto", known, "someone says")


@pytest.mark.parametrize(
    ("sizes", "channels"),
    [((4, 6), "auto"), ((4, 6, 1), "auto"), ((3, 4, 6), "last"), ((6, 4, 3), "auto")],
)
def test_stacks_of_other_images(sizes, channels):
    message = r"X of shape \(5, .*images of 4 x 6 pixels with 3 channels, which A says"
    with pytest.raises(ValueError, match=message) as error:
        find_stack((5, *sizes), channels, COLOUR, "A says")
    assert "X[None]" not in str(error.value)


@pytest.mark.parametrize("shape", [(4, 6, 3), (3, 4, 6)])
def test_one_image_instead_of_a_stack(shape):
    with pytest.raises(ValueError, match=r"If X is one image, pass X\[None\]"):
        find_stack(shape, "auto", COLOUR, "A says")
