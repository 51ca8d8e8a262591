import datetime
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
import torch
from sklearn.base import BaseEstimator

from skvit._images._numbers import (
    check_features,
    check_rows,
    check_stack,
    to_array_like,
)

VALUES = [[0, 1, 2], [3, 4, 5]]


class ArrayOnly:
    """Something that NumPy can read, without being an array."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


@pytest.mark.parametrize(
    "X",
    [
        VALUES,
        tuple(map(tuple, VALUES)),
        [np.array(row) for row in VALUES],
        [torch.tensor(row) for row in VALUES],
        torch.tensor(VALUES),
        torch.tensor(VALUES, dtype=torch.bfloat16),
        torch.tensor(VALUES, dtype=torch.float16),
        torch.tensor(VALUES, dtype=torch.float8_e4m3fn),
        torch.tensor(VALUES, dtype=torch.float64, requires_grad=True),
        ArrayOnly(VALUES),
        pl.Series(VALUES, dtype=pl.Array(pl.Int32, 3)),
    ],
    ids=lambda X: f"{type(X).__name__}-{getattr(X, 'dtype', '')}",
)
def test_what_becomes_an_array(X):
    array = to_array_like(X)
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, VALUES)


def test_tensors_are_viewed():
    tensor = torch.arange(6).reshape(2, 3).T
    assert np.shares_memory(to_array_like(tensor), tensor.numpy())


@pytest.mark.parametrize(
    "X", [np.array(VALUES), pd.DataFrame(VALUES), scipy.sparse.csr_array(VALUES)]
)
def test_what_has_a_shape_stays(X):
    assert to_array_like(X) is X


def test_sparse_tensor():
    with pytest.raises(TypeError, match="a dense tensor of real numbers"):
        to_array_like(torch.tensor(VALUES).to_sparse())


def test_images_of_different_sizes():
    X = [np.zeros((8, 9)), np.zeros((8, 8)), torch.zeros(8, 9)]
    with pytest.raises(ValueError, match=r"different shapes: \(8, 8\), \(8, 9\)\."):
        to_array_like(X)


def test_ragged_numbers():
    with pytest.raises(ValueError, match="X must hold numbers"):
        to_array_like([[1, 2], [3]])


@pytest.mark.parametrize("dtype", ["bool", "uint16", "int8", "float16", ">f8", "f4"])
def test_rows_keep_their_dtype_and_memory(dtype):
    X = np.array(VALUES, dtype=dtype, order="F")
    rows = check_rows(BaseEstimator(), X, reset=True)
    assert rows.dtype == X.dtype
    assert np.shares_memory(rows, X)


def test_numbers_held_as_objects():
    rows = check_rows(BaseEstimator(), np.array(VALUES, dtype=object), reset=True)
    assert rows.dtype == np.float64


NOT_NUMBERS = {
    "text": np.array([["a", "b"]]),
    "bytes": np.array([[b"1", b"2"]]),
    "objects": np.array([[{}, 1]], dtype=object),
    "dates": np.array([[datetime.date(2020, 1, 1)] * 2], dtype="datetime64[D]"),
    "records": np.zeros((2, 2), dtype=[("x", int)]),
}


@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_what_is_no_number(kind):
    X = NOT_NUMBERS[kind]
    with pytest.raises((TypeError, ValueError), match="X must hold numbers: pixel val"):
        check_rows(BaseEstimator(), X, reset=True)
    with pytest.raises((TypeError, ValueError), match="X must hold numbers: pixel val"):
        check_stack(BaseEstimator(), X[np.newaxis])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1j]]), "Complex data not supported"),
        (np.array([1.0, 2.0]), "Expected 2D array, got 1D array"),
        (np.array(1.0), "Expected 2D array, got scalar array"),
        (np.zeros((0, 3)), r"0 sample\(s\)"),
        (np.zeros((3, 0)), r"0 feature\(s\)"),
        (pd.DataFrame(), r"0 feature\(s\)"),
        (np.array([[1, np.nan]]), "Input X contains NaN"),
        (np.array([[1, np.inf]]), "Input X contains infinity"),
        (np.array([[1, None]]), "Input X contains NaN"),
        ([[10**400, 1]], "X holds a number beyond float64"),
        (None, "X must hold numbers"),
        ({}, "X must hold numbers"),
        ("folder/image.png", "X must hold numbers"),
    ],
)
def test_refused_rows(X, message):
    with pytest.raises((TypeError, ValueError), match=message):
        check_rows(BaseEstimator(), to_array_like(X), reset=True)


def test_sparse_rows():
    X = scipy.sparse.csr_array(np.array(VALUES, dtype=float))
    with pytest.raises(TypeError, match="Sparse data was passed for X") as error:
        check_rows(BaseEstimator(), X, reset=True)
    assert "must hold numbers" not in str(error.value)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 3, 3), dtype=complex), "Complex data not supported"),
        (np.zeros((0, 3, 3)), r"0 sample\(s\)"),
        (np.zeros((3, 0, 3)), "has no pixels"),
        (np.zeros((3, 3, 3, 0)), "has no pixels"),
        (np.full((2, 3, 3), np.nan, dtype=np.float32), "Input X contains NaN"),
        (np.full((2, 3, 3), -np.inf, dtype=">f4"), "Input X contains infinity"),
    ],
)
def test_refused_stacks(X, message):
    with pytest.raises(ValueError, match=message):
        check_stack(BaseEstimator(), X)


def test_one_bad_value_is_found_in_the_last_block():
    X = np.zeros((300, 64, 64, 3), dtype=np.float16)
    X[-1, -1, -1, -1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        check_stack(BaseEstimator(), X)


def test_finiteness_can_be_assumed():
    X = np.full((2, 3, 3), np.nan)
    with sklearn.config_context(assume_finite=True):
        assert check_stack(BaseEstimator(), X) is X


def test_checks_of_a_memory_map_copy_nothing(tmp_path):
    shape = (2000, 32, 32, 3)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float16, shape)
    X[:] = 60_000  # the sum over a block overflows, but no value is infinite
    tracemalloc.start()
    stack = check_stack(BaseEstimator(), X)
    rows = check_rows(BaseEstimator(), X.reshape(2000, -1), reset=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.shares_memory(stack, X)
    assert np.shares_memory(rows, X)
    assert peak < X.nbytes / 2


def test_features_are_counted_and_their_names_forgotten():
    estimator = BaseEstimator()
    check_rows(estimator, pd.DataFrame(VALUES, columns=list("abc")), reset=True)
    assert list(estimator.feature_names_in_) == ["a", "b", "c"]
    check_features(estimator, 5, 4, reset=True)
    assert estimator.n_features_in_ == 4
    assert not hasattr(estimator, "feature_names_in_")


def test_other_features_than_in_fit():
    estimator = BaseEstimator()
    check_features(estimator, 5, 4, reset=True)
    with pytest.raises(ValueError, match=r"X has 5 features, but .* expecting 4"):
        check_features(estimator, 5, 5, reset=False)
