import numpy as np
import pytest

from skvit._images import ImageSpec, from_images, to_images

IMAGES = np.arange(5 * 4 * 6 * 3).reshape(5, 4, 6, 3)
FORMS = {
    "channels last": (IMAGES, ImageSpec(4, 6, 3)),
    "channels first": (
        IMAGES.transpose(0, 3, 1, 2),
        ImageSpec(4, 6, 3, channels_first=True),
    ),
    "flat": (IMAGES.reshape(5, -1), ImageSpec(4, 6, 3, ndim=2)),
    "flat, channels first": (
        IMAGES.transpose(0, 3, 1, 2).reshape(5, -1),
        ImageSpec(4, 6, 3, ndim=2, channels_first=True),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_there_and_back(form):
    X, spec = FORMS[form]
    np.testing.assert_array_equal(to_images(X, spec), IMAGES)
    np.testing.assert_array_equal(from_images(IMAGES, spec), X)


def test_there_and_back_without_channels():
    X, spec = IMAGES[..., 0], ImageSpec(4, 6, 1, ndim=3)
    np.testing.assert_array_equal(to_images(X, spec), IMAGES[..., :1])
    np.testing.assert_array_equal(from_images(IMAGES[..., :1], spec), X)


@pytest.mark.parametrize("order", ["C", "F", "strided", "reversed"])
@pytest.mark.parametrize("form", FORMS)
def test_any_memory_layout_is_viewed(form, order):
    X, spec = FORMS[form]
    if order == "strided":
        X = np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    elif order == "reversed":
        X = X[::-1].copy()[::-1]
    else:
        X = np.array(X, order=order)
    images = to_images(X, spec)
    assert np.may_share_memory(images, X)
    np.testing.assert_array_equal(images, IMAGES)
