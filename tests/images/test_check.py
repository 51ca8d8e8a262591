import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits

from skvit._images import ImageSpec, ReadOptions, check_images

COLOUR = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3), dtype=np.uint8)
GRAY = COLOUR[..., 0]


class NumPyCanRead:
    """Something that NumPy can read, without being an array."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def flat(X):
    return X.reshape(len(X), -1)


# Whatever has the same numbers as an array of any number of axes.
SAME = {
    "list": np.ndarray.tolist,
    "list of arrays": list,
    "tuple of arrays": tuple,
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "reversed memory": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda X: X.astype(">i4"),
    "float16": lambda X: X.astype(np.float16),
    "float64": lambda X: X.astype(np.float64),
    "uint64": lambda X: X.astype(np.uint64),
    "objects": lambda X: X.astype(object),
    "tensor": torch.tensor,
    "bfloat16 tensor": lambda X: torch.tensor(X).to(torch.bfloat16),
    "tensor with gradient": lambda X: torch.tensor(
        X, dtype=torch.float32
    ).requires_grad_(),
    "list of tensors": lambda X: list(torch.tensor(X)),
    "readable": NumPyCanRead,
}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
GRAY_FORMS = {
    "gray": GRAY,
    "channels last": GRAY[..., None],
    "channels first": GRAY[:, None],
    "flat": flat(GRAY),
}
COLOUR_FORMS = {
    "channels last": (COLOUR, {}),
    "channels first": (np.moveaxis(COLOUR, 3, 1), {}),
    "told last": (COLOUR, {"channels": "last"}),
    "told first": (np.moveaxis(COLOUR, 3, 1), {"channels": "first"}),
    "told the shape": (COLOUR, {"image_shape": (8, 9, 3)}),
    "flat": (flat(COLOUR), {"image_shape": (8, 9, 3)}),
    "flat, channels first": (
        flat(np.moveaxis(COLOUR, 3, 1)),
        {"image_shape": (3, 8, 9)},
    ),
    "flat, told first": (
        flat(np.moveaxis(COLOUR, 3, 1)),
        {"image_shape": (8, 9, 3), "channels": "first"},
    ),
}


def fitted(X, **params):
    """Estimator and spec after the input of fit."""
    estimator = BaseEstimator()
    _, spec = check_images(estimator, X, reset=True, **params)
    return estimator, spec


@pytest.mark.parametrize("same", SAME)
@pytest.mark.parametrize("form", GRAY_FORMS)
def test_gray_images_in_any_form(form, same):
    image_shape = (8, 9) if form == "flat" else None
    images, spec = check_images(
        BaseEstimator(),
        SAME[same](GRAY_FORMS[form]),
        reset=True,
        image_shape=image_shape,
    )
    assert spec == ImageSpec(8, 9, 1)
    np.testing.assert_array_equal(images, GRAY[..., None])


@pytest.mark.parametrize("same", SAME)
@pytest.mark.parametrize("form", COLOUR_FORMS)
def test_colour_images_in_any_form(form, same):
    X, params = COLOUR_FORMS[form]
    estimator = BaseEstimator()
    images, spec = check_images(estimator, SAME[same](X), reset=True, **params)
    assert spec == ImageSpec(8, 9, 3)
    assert estimator.n_features_in_ == 8 * 9 * 3
    np.testing.assert_array_equal(images, COLOUR)


@pytest.mark.parametrize("second", GRAY_FORMS)
@pytest.mark.parametrize("first", GRAY_FORMS)
def test_one_form_in_fit_and_another_in_predict(first, second):
    image_shape = (8, 9) if first == "flat" else None
    estimator, spec = fitted(GRAY_FORMS[first], image_shape=image_shape)
    images, found = check_images(estimator, GRAY_FORMS[second], reset=False, spec=spec)
    assert found is spec
    np.testing.assert_array_equal(images, GRAY[..., None])


@pytest.mark.parametrize("second", COLOUR_FORMS)
@pytest.mark.parametrize("first", COLOUR_FORMS)
def test_one_form_of_colour_in_fit_and_another_in_predict(first, second):
    X, params = COLOUR_FORMS[first]
    estimator, spec = fitted(X, **params)
    X, params = COLOUR_FORMS[second]
    images, _ = check_images(estimator, X, reset=False, spec=spec, **params)
    np.testing.assert_array_equal(images, COLOUR)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.parametrize("frame", FRAMES)
def test_frames_of_pixels(frame):
    X = FRAMES[frame]({f"pixel{i}": column for i, column in enumerate(flat(GRAY).T)})
    estimator, spec = fitted(X, image_shape=(8, 9))
    for same in (X, GRAY):
        images, _ = check_images(estimator, same, reset=False, spec=spec)
        np.testing.assert_array_equal(images, GRAY[..., None])


def test_names_of_columns_are_remembered():
    X = pd.DataFrame(flat(GRAY)).add_prefix("pixel")
    estimator, spec = fitted(X, image_shape=(8, 9))
    assert list(estimator.feature_names_in_) == list(X.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        check_images(estimator, X[X.columns[::-1]], reset=False, spec=spec)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        check_images(estimator, GRAY, reset=False, spec=spec)


def test_flat_digits_are_images_and_other_widths_tables():
    X, _ = load_digits(return_X_y=True)
    images, spec = check_images(BaseEstimator(), X, reset=True)
    assert spec == ImageSpec(8, 8, 1)
    assert images.shape == (1797, 8, 8, 1)
    for width in (1, 2, 9, 49, 63):
        images, spec = check_images(BaseEstimator(), X[:, :width], reset=True)
        assert spec == ImageSpec(1, width, 1, kind="table")
        assert images.shape == (1797, 1, width, 1)


@pytest.mark.parametrize(
    "X",
    [
        GRAY,
        COLOUR,
        np.moveaxis(COLOUR, 3, 1),
        flat(GRAY),
        np.asfortranarray(flat(GRAY)),
    ],
)
def test_arrays_are_viewed(X):
    images, _ = check_images(BaseEstimator(), X, reset=True)
    assert np.shares_memory(images, X)
    assert images.dtype == X.dtype


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_memory_map_is_neither_read_as_a_whole_nor_copied(tmp_path, dtype):
    shape = (2000, 3, 32, 32)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", dtype, shape)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    images, _ = check_images(BaseEstimator(), X, reset=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    assert np.shares_memory(images, X)
    assert not images.flags.writeable


def test_ambiguous_channels_can_be_settled():
    X = np.zeros((2, 3, 8, 3))
    with pytest.raises(ValueError, match=r"is ambiguous.*channels='first'"):
        check_images(BaseEstimator(), X, reset=True)
    for channels, shape in {"first": (8, 3, 3), "last": (3, 8, 3)}.items():
        _, spec = check_images(BaseEstimator(), X, reset=True, channels=channels)
        assert spec.shape == shape


def test_channels_that_fit_knows_are_no_longer_ambiguous():
    X = np.zeros((2, 13, 8, 9))
    estimator, spec = fitted(X, channels="first")
    images, _ = check_images(estimator, X, reset=False, spec=spec)
    assert images.shape == (2, 8, 9, 13)


def test_flat_rows_of_colour_need_the_shape_in_predict_too():
    estimator, spec = fitted(COLOUR)
    with pytest.raises(ValueError, match=r"set image_shape=\(8, 9, 3\)"):
        check_images(estimator, flat(COLOUR), reset=False, spec=spec)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 9, 8)), "8 x 9 pixels with 1 channel, which BaseEstimator was"),
        (COLOUR, "8 x 9 pixels with 1 channel, which BaseEstimator was fitted on"),
        (np.zeros((2, 71)), "X has 71 features, but BaseEstimator is expecting 72"),
        (GRAY[0], "X has 9 features, but BaseEstimator is expecting 72"),
    ],
)
def test_other_images_than_in_fit(X, message):
    estimator, spec = fitted(GRAY)
    with pytest.raises(ValueError, match=message):
        check_images(estimator, X, reset=False, spec=spec)


def test_other_image_shape_than_in_fit():
    estimator, spec = fitted(GRAY)
    with pytest.raises(ValueError, match=r"9 x 8 .* but BaseEstimator was .* of 8 x 9"):
        check_images(estimator, GRAY, reset=False, spec=spec, image_shape=(9, 8))


@pytest.mark.parametrize("X", [GRAY, COLOUR])
def test_images_that_contradict_image_shape(X):
    with pytest.raises(ValueError, match=r"9 x 8 .* which `image_shape` asks for"):
        check_images(BaseEstimator(), X, reset=True, image_shape=(9, 8))


def test_rows_that_contradict_image_shape():
    with pytest.raises(ValueError, match=r"9 x 9 .* 81 values, but a row of X has 72"):
        check_images(BaseEstimator(), flat(GRAY), reset=True, image_shape=(9, 9))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 2, 8, 8, 3)), r"\(2, 2, 8, 8, 3\) has 5 axes; .* at most 4"),
        (np.zeros((0, 8, 8)), r"0 sample\(s\)"),
        (np.zeros((2, 0, 8)), "has no pixels"),
        (np.zeros((2, 8, 8, 0)), "has no pixels"),
        (np.zeros(8), "Expected 2D array, got 1D array"),
        (np.full((2, 8, 8), np.nan), "Input X contains NaN"),
        (np.full((2, 8, 8), np.inf), "Input X contains infinity"),
        (np.zeros((2, 8, 8), dtype=complex), "Complex data not supported"),
        (["a.png", "b.png"], "row 0 of X, .a.png., cannot be read: there is no such"),
        ([np.zeros((8, 8)), np.zeros((8, 9))], "images of different shapes"),
        (None, "X must hold numbers"),
        (scipy.sparse.csr_array(np.eye(8)), "Sparse data was passed"),
    ],
    ids=str,
)
def test_refused(X, message):
    with pytest.raises((TypeError, ValueError), match=message):
        check_images(BaseEstimator(), X, reset=True)


MASKED = {
    "gray": lambda X: X,
    "channels last": lambda X: X[..., None],
    "flat": flat,
    "list of images": list,
    "tuple of images": tuple,
    "list of rows": lambda X: list(flat(X)),
    "series of images": lambda X: pd.Series(list(X)),
}


@pytest.mark.parametrize("size", [None, (4, 4)])
@pytest.mark.parametrize("form", MASKED)
def test_masked_values_are_missing(form, size):
    options = ReadOptions(size=size)
    X = np.ma.array(GRAY, mask=False)
    images, _ = check_images(BaseEstimator(), MASKED[form](X), reset=True)
    np.testing.assert_array_equal(images, GRAY[..., None].reshape(images.shape))
    X[1, 2, 3] = np.ma.masked
    with pytest.raises(ValueError, match="X has masked values, 1 of"):
        check_images(BaseEstimator(), MASKED[form](X), reset=True, options=options)
