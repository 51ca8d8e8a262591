"""Patches that were cut before."""

from typing import Any

import numpy as np

from skvit._images._numbers import (
    check_features,
    check_rows,
    check_stack,
    to_array_like,
)
from skvit._images._spec import ImageSpec


def check_patch_sequence(
    estimator: Any, X: Any, *, reset: bool, spec: ImageSpec | None = None
) -> tuple[np.ndarray, ImageSpec]:
    """Turn whatever holds sequences of patches into one array.

    Parameters
    ----------
    estimator : estimator instance
        Gets `n_features_in_` and `feature_names_in_`, or is held to them.
    X : array-like, tensor or DataFrame
        Patches of shape (n_samples, n_patches, n_values). After `fit`, flat rows of
        shape (n_samples, n_patches * n_values) as well.
    reset : bool
        Whether this is the input of `fit`.
    spec : ImageSpec or None, default=None
        What `fit` found; None in `fit`.

    Returns
    -------
    patches : ndarray of shape (n_samples, n_patches, n_values)
        The values in their own dtype; a view of X wherever X is an array.
    spec : ImageSpec
        The number of patches as height, their size as width.

    Raises
    ------
    TypeError
        If X does not hold numbers or is sparse.
    ValueError
        If X is empty, has missing, infinite or complex values, another number of axes,
        or patches of another number or size than in `fit`.
    """
    X = to_array_like(X)
    n_axes = len(X.shape)
    if n_axes == 2 and spec is not None:
        rows = check_rows(estimator, X, reset=reset)
        return rows.reshape(len(rows), *spec.shape[:2]), spec
    if n_axes != 3:
        raise ValueError(
            "patch_size='precomputed' expects patches of shape (n_samples, n_patches, "
            f"n_values); got X of shape {tuple(X.shape)}. Cut images with "
            "PatchTransformer(flatten=False), or give a patch size."
        )
    patches = check_stack(estimator, X)
    n_samples, n_patches, n_values = patches.shape
    found = ImageSpec(n_patches, n_values, 1, kind="sequence", ndim=3)
    if spec is not None and found != spec:
        raise ValueError(
            f"X holds {found.height} patches of {found.width} values, but "
            f"{type(estimator).__name__} was fitted on {spec.height} patches of "
            f"{spec.width} values."
        )
    check_features(estimator, n_samples, found.n_features, reset=reset)
    return patches, found if spec is None else spec


def check_patches(
    estimator: Any, X: Any, n_patches: int, patch_values: int
) -> np.ndarray:
    """Return patches to be put together again, given flat or as a sequence.

    Parameters
    ----------
    estimator : estimator instance
        Who asks, for the messages.
    X : array-like, tensor or DataFrame
        Patches of shape (n_samples, n_patches * patch_values) or (n_samples,
        n_patches, patch_values).
    n_patches, patch_values : int
        What X must hold.

    Returns
    -------
    ndarray of shape (n_samples, n_patches, patch_values)
        The values in their own dtype.

    Raises
    ------
    TypeError
        If X does not hold numbers or is sparse.
    ValueError
        If X has another shape, or values that are complex, missing or infinite.
    """
    X = check_stack(estimator, to_array_like(X))
    accepted = {(n_patches * patch_values,), (n_patches, patch_values)}
    if X.shape[1:] not in accepted:
        raise ValueError(
            f"X must have shape (n_samples, {n_patches * patch_values}) or (n_samples, "
            f"{n_patches}, {patch_values}) to be put together; got {X.shape}."
        )
    return X.reshape(len(X), n_patches, patch_values)
