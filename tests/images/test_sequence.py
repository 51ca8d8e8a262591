import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator

from skvit._images import ImageSpec, check_patch_sequence, check_patches

X = np.arange(5 * 4 * 9, dtype=np.uint8).reshape(5, 4, 9)


@pytest.fixture
def fitted():
    """Estimator and spec after the input of fit."""
    estimator = BaseEstimator()
    _, spec = check_patch_sequence(estimator, X, reset=True)
    return estimator, spec


def test_fit(fitted):
    estimator, spec = fitted
    assert spec == ImageSpec(4, 9, 1, kind="sequence")
    assert estimator.n_features_in_ == 36


@pytest.mark.parametrize(
    "same", [X, X.tolist(), torch.tensor(X), X.reshape(5, -1), X.astype(">f2")]
)
def test_predict(fitted, same):
    estimator, spec = fitted
    patches, found = check_patch_sequence(estimator, same, reset=False, spec=spec)
    assert found is spec
    np.testing.assert_array_equal(patches, X)


def test_predict_on_a_frame(fitted):
    estimator, spec = fitted
    frame = pd.DataFrame(X.reshape(5, -1))
    patches, _ = check_patch_sequence(estimator, frame, reset=False, spec=spec)
    np.testing.assert_array_equal(patches, X)


def test_arrays_are_viewed():
    patches, _ = check_patch_sequence(BaseEstimator(), X, reset=True)
    assert np.shares_memory(patches, X)


@pytest.mark.parametrize("shape", [(36,), (5, 36), (5, 2, 2, 9)])
def test_fit_needs_a_sequence(shape):
    message = (
        r"patch_size='precomputed' expects .*\(n_samples, n_patches.*flatten=False"
    )
    with pytest.raises(ValueError, match=message):
        check_patch_sequence(BaseEstimator(), np.zeros(shape), reset=True)


def test_other_patches_than_in_fit(fitted):
    estimator, spec = fitted
    message = "9 patches of 4 values, but BaseEstimator was fitted on 4 patches of 9"
    with pytest.raises(ValueError, match=message):
        check_patch_sequence(estimator, X.transpose(0, 2, 1), reset=False, spec=spec)


def test_other_rows_than_in_fit(fitted):
    estimator, spec = fitted
    with pytest.raises(ValueError, match=r"X has 35 features, but .* expecting 36"):
        check_patch_sequence(
            estimator, X.reshape(5, -1)[:, :-1], reset=False, spec=spec
        )


def test_missing_values():
    with pytest.raises(ValueError, match="Input X contains NaN"):
        check_patch_sequence(BaseEstimator(), np.full((2, 3, 4), np.nan), reset=True)


def test_masked_values():
    masked = np.ma.masked_less(X, X.max())
    with pytest.raises(ValueError, match=r"X has masked values, \d+ of"):
        check_patch_sequence(BaseEstimator(), masked, reset=True)
    with pytest.raises(ValueError, match=r"X has masked values, \d+ of"):
        check_patches(BaseEstimator(), masked, 4, 9)


@pytest.mark.parametrize("same", [X, X.reshape(5, 36), X.tolist(), torch.tensor(X)])
def test_patches_to_be_put_together(same):
    np.testing.assert_array_equal(check_patches(BaseEstimator(), same, 4, 9), X)


@pytest.mark.parametrize("shape", [(5, 35), (5, 9, 4), (5, 2, 2, 9)])
def test_patches_of_other_shapes(shape):
    message = r"\(n_samples, 36\) or \(n_samples, 4, 9\) .*; got \(5, "
    with pytest.raises(ValueError, match=message):
        check_patches(BaseEstimator(), np.zeros(shape), 4, 9)
