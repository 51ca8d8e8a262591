"""Images together with what training needs to know of them."""

from dataclasses import dataclass, replace
from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from skvit._images import LazyImages, select_images, to_array


@dataclass(frozen=True)
class Samples:
    """Checked images with their targets.

    Parameters
    ----------
    images : ndarray or LazyImages of shape (n_samples, height, width, channels), or \
            ndarray of shape (n_samples, n_patches, n_values)
        Raw values.
    target : ndarray of shape (n_samples,)
        What the loss compares the outputs with.
    weight : ndarray of shape (n_samples,) or None
        Weights; None where all are equal.
    """

    images: np.ndarray | LazyImages
    target: np.ndarray
    weight: np.ndarray | None = None

    def take(self, rows):
        """Return some of the samples."""
        weight = None if self.weight is None else self.weight[rows]
        return Samples(select_images(self.images, rows), self.target[rows], weight)

    def without_zero_weights(self):
        """Return the samples that count."""
        if self.weight is None or self.weight.all():
            return self
        return self.take(self.weight > 0)

    def with_mean_weight_one(self):
        """Return the samples with weights that leave the loss's scale alone."""
        if self.weight is None:
            return self
        if np.ptp(self.weight) == 0:
            return replace(self, weight=None)
        weight = self.weight / self.weight.max()  # whose sum cannot overflow
        return replace(self, weight=weight / weight.mean())


@dataclass(frozen=True)
class Run:
    """How this call of the estimator trains.

    Parameters
    ----------
    go_on : bool, default=False
        Whether to begin with the weights of an earlier fit.
    partial : bool, default=False
        Whether it is one pass at a constant rate, continuing the optimizer.
    """

    go_on: bool = False
    partial: bool = False


@dataclass(frozen=True)
class Validation:
    """What the user gave to score training with.

    Parameters
    ----------
    X, y : array-like or None
        Images and labels.
    sample_weight : array-like or None
        Weights.
    """

    X: Any = None
    y: Any = None
    sample_weight: Any = None

    def check(self):
        """Raise unless images and labels come together."""
        if (self.X is None) != (self.y is None):
            raise ValueError(
                "`X_val` and `y_val` go together, but only "
                f"{'`y_val`' if self.X is None else '`X_val`'} was given. Pass both."
            )
        if self.X is None and self.sample_weight is not None:
            raise ValueError("`sample_weight_val` needs `X_val` and `y_val`.")


def check_weight(sample_weight, n_samples):
    """Return sample weights as doubles, or None where there are none.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), number or None
        Weights.
    n_samples : int
        Number of samples.

    Returns
    -------
    ndarray of shape (n_samples,) or None
        Finite, non-negative weights of which one at least is positive.

    Raises
    ------
    ValueError
        If the weights are not that.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Number):
        sample_weight = np.full(n_samples, sample_weight, dtype=np.float64)
    weight = check_array(
        to_array(sample_weight),
        dtype=np.float64,
        ensure_2d=False,
        ensure_non_negative=True,
        input_name="sample_weight",
    )
    if weight.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got {weight.ndim}D array. "
            f"Expected shape ({n_samples},), got {weight.shape}."
        )
    if len(weight) != n_samples:
        raise ValueError(
            f"sample_weight.shape == {weight.shape}, expected {(n_samples,)}!"
        )
    if not weight.any():
        raise ValueError(
            "Sample weights must contain at least one non-zero number; all are zero."
        )
    return weight
