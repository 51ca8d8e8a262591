"""Which of the forms in which people have images X is."""

from os import PathLike
from typing import Any

import numpy as np

from skvit._images._pillow import is_pillow


def find_items(X: Any) -> list | None:
    """List the single images, or paths of images, that X is a plain sequence of.

    Parameters
    ----------
    X : object
        What the user gave.

    Returns
    -------
    list or None
        The items of a list, tuple, series, array of objects or strings, or of a frame
        with one column, if any of them is an array of two axes or more, an image of
        Pillow or a path. None for everything else.
    """
    if isinstance(X, list | tuple):
        items = list(X)
    elif _is_column(X):
        items = list(np.asarray(check_unmasked(X, "X")).ravel())
    else:
        return None
    is_item = any(is_path(item) or is_image(item) for item in items)
    return items if is_item else None


def check_several(X: Any) -> None:
    """Refuse one image that came without a list around it.

    Raises
    ------
    TypeError
        If X is an image of Pillow or a path.
    """
    if is_pillow(X) or is_path(X):
        raise TypeError(
            f"X is {X!r:.80}, one image where many are expected: pass a list, [X]; or, "
            "if it is a file of an array of many, numpy.load(X, mmap_mode='r')."
        )


def check_unmasked(values: Any, name: str) -> Any:
    """Refuse masked values, which NumPy would take for what lies under the mask.

    Raises
    ------
    ValueError
        If some are masked.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name} has masked values, {np.ma.count_masked(values)} of "
            f"{values.size}; images must have all of theirs. Fill them, with the "
            "array's filled(value), or leave those images out."
        )
    return values


def _is_column(X: Any) -> bool:
    """Say whether X is one column of objects or strings."""
    shape = getattr(X, "shape", ())
    if len(shape) not in {1, 2} or shape[1:] not in {(), (1,)}:
        return False
    if hasattr(X, "tocoo") or hasattr(X, "detach"):
        return False
    return np.asarray(X).dtype.kind in "OUT"


def is_path(item: Any) -> bool:
    """Say whether something is the path of a file."""
    return isinstance(item, str | PathLike)


def is_image(item: Any) -> bool:
    """Say whether something is one image in memory."""
    is_array = isinstance(item, np.ndarray) or is_tensor(item)
    return (is_array and item.ndim >= 2) or is_pillow(item)


def is_tensor(item: Any) -> bool:
    """Say whether something is a tensor of PyTorch, which need not be loaded."""
    return hasattr(item, "detach") and hasattr(item, "numpy")
