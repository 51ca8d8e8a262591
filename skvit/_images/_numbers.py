"""Whatever holds numbers, as one real NumPy array; no copy where a view can do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, check_array

from skvit._images._blocks import iter_blocks
from skvit._images._forms import check_unmasked, is_tensor
from skvit._utils._sklearn import validate_data

_ACCEPTED = (
    "X must hold numbers: pixel values as an array, a list, a tensor or a data frame "
    "of shape (n_samples, n_features), (n_samples, height, width), (n_samples, height, "
    "width, channels) or (n_samples, channels, height, width). It may also be a list, "
    "a series or a single column of arrays, of images of Pillow or of paths of files, "
    "such as X[['path']]."
)


def to_array_like(X: Any) -> Any:
    """Turn tensors, sequences and series of arrays into arrays.

    Parameters
    ----------
    X : object
        What the user gave. PyTorch's tensors are known by their methods, so that
        PyTorch need not be loaded.

    Returns
    -------
    object
        Something with a shape: an array, or a data frame, a sparse matrix or whatever
        else has one, as it is.

    Raises
    ------
    TypeError
        If a tensor cannot become an array.
    ValueError
        If values are masked, or X is a sequence of things of different shapes.
    """
    if is_tensor(X):
        return tensor_to_array(X)
    if hasattr(X, "shape"):
        # The shape of a series of polars does not count the axes of its entries.
        is_of_arrays = len(X.shape) == 1 and np.asarray(X).ndim > 1
        return np.asarray(X) if is_of_arrays else check_unmasked(X, "X")
    if isinstance(X, list | tuple):
        X = [item_to_array(item, row) for row, item in enumerate(X)]
    try:
        return np.asarray(X)
    except ValueError as error:
        shapes = sorted({np.shape(item) for item in X if hasattr(item, "shape")})
        if len(shapes) < 2:
            raise ValueError(f"{error}\n{_ACCEPTED}") from error
        raise ValueError(
            f"X holds rows of different shapes: {', '.join(map(str, shapes))}. "
            "Bring them to one size first."
        ) from error


def item_to_array(item: Any, row: int) -> Any:
    """Turn one item of a sequence into an array if it is a tensor.

    Raises
    ------
    ValueError
        If values of it are masked.
    """
    return check_unmasked(to_array(item), f"row {row} of X")


def to_array(values: Any) -> Any:
    """Turn a tensor, on whatever device, into an array; leave all else as it is."""
    return tensor_to_array(values) if is_tensor(values) else values


def tensor_to_array(tensor: Any) -> np.ndarray:
    """View a PyTorch tensor as an array, copying only what NumPy cannot view.

    Raises
    ------
    TypeError
        If the tensor is sparse or of a type that has no numbers.
    """
    try:
        return tensor.numpy(force=True)
    except (TypeError, RuntimeError):
        pass  # bfloat16 and the 8-bit floats, which NumPy does not have
    try:
        return tensor.float().numpy(force=True)
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"a tensor of dtype {tensor.dtype} and layout {tensor.layout} has no dense "
            "array of numbers; convert it to a dense tensor of real numbers first."
        ) from error


def check_rows(estimator: Any, X: Any, *, reset: bool) -> np.ndarray:
    """Return flat rows as an array, with scikit-learn's own checks and messages.

    Parameters
    ----------
    estimator : estimator instance
        Gets or is held to `n_features_in_` and `feature_names_in_`.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows of values.
    reset : bool
        Whether this is the input of `fit`.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        The values in their own dtype; numbers held as objects become float64.

    Raises
    ------
    TypeError
        If X does not hold numbers, or is sparse.
    ValueError
        If X has another number of axes or of features, no samples, or values that
        are complex, missing or infinite.
    """
    if len(X.shape) == 2 and X.shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={tuple(X.shape)}) while a minimum "
            f"of 1 is required by {type(estimator).__name__}."
        )
    with _explaining_refusal(X):
        rows = validate_data(estimator, X, reset=reset, ensure_all_finite=False)
    _check_real(rows)
    _check_finite(estimator, rows)
    return rows


def check_stack(estimator: Any, X: Any) -> np.ndarray:
    """Return an array of three or more axes after the same checks as `check_rows`.

    Features are neither counted nor named: see `check_features`.

    Raises
    ------
    TypeError
        If X does not hold numbers.
    ValueError
        If X is empty, or has values that are complex, missing or infinite.
    """
    stack = X if _is_plain(X) else _to_plain(estimator, X)
    _check_real(stack)
    if 0 in stack.shape:
        raise ValueError(
            f"X of shape {stack.shape} has no pixels; every axis must be at least 1."
        )
    _check_finite(estimator, stack)
    return stack


def _is_plain(X: Any) -> bool:
    """Say whether X is an array of real numbers, which needs no conversion.

    Asking scikit-learn takes a fifth of the time of one small image's prediction.
    """
    return type(X) is np.ndarray and X.dtype.kind in "buif" and X.size > 0


def _to_plain(estimator: Any, X: Any) -> np.ndarray:
    """Return X as an array of numbers of three or more axes."""
    with _explaining_refusal(X):
        return check_array(
            X,
            allow_nd=True,
            ensure_all_finite=False,
            estimator=estimator,
            input_name="X",
        )


def check_features(
    estimator: Any, n_samples: int, n_features: int, *, reset: bool
) -> None:
    """Set or check number and names of the features as for rows of that many.

    Raises
    ------
    ValueError
        If the estimator was fitted with another number of features.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if not reset and names is None and estimator.n_features_in_ == n_features:
        return
    stand_in = np.broadcast_to(np.float32(0), (n_samples, n_features))
    validate_data(estimator, stand_in, reset=reset, skip_check_array=True)


def native_dtype(dtype: np.dtype) -> np.dtype:
    """Return a type in the machine's byte order, doubles for numbers longer than those.

    Neither PyTorch nor, before 1.9, scikit-learn's checks know other types.
    """
    native = dtype.newbyteorder("=")
    return np.dtype(np.float64) if native == np.longdouble else native


@contextmanager
def _explaining_refusal(X: Any) -> Iterator[None]:
    """Add what is accepted to scikit-learn's message if X does not hold numbers.

    Raises
    ------
    TypeError
        If scikit-learn raises it.
    ValueError
        If scikit-learn raises it.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if hasattr(X, "tocoo") or np.asarray(X).dtype.kind not in "OSUVMm":
            raise
        message = f"{error}\n{_ACCEPTED}"
        if isinstance(error, TypeError):
            raise TypeError(message) from error
        raise ValueError(message) from error
    except OverflowError as error:
        raise ValueError(f"X holds a number beyond float64: {error}.") from error


def _check_real(array: np.ndarray) -> None:
    """Raise unless the array holds real numbers.

    Raises
    ------
    TypeError
        If it holds dates, records or the like.
    """
    if array.dtype.kind not in "biuf":
        raise TypeError(f"X has dtype {array.dtype}.\n{_ACCEPTED}")


def _check_finite(estimator: Any, array: np.ndarray) -> None:
    """Raise at missing or infinite values, block by block to spare memory."""
    if array.dtype.kind != "f":
        return
    name = type(estimator).__name__
    # scikit-learn 1.6 overlooks infinity in foreign byte order, and all in numbers
    # longer than doubles; 1.9 no longer does.
    dtype = native_dtype(array.dtype)
    for block in iter_blocks(array.shape):
        values = array[block].astype(dtype, copy=False)
        assert_all_finite(values, estimator_name=name, input_name="X")
