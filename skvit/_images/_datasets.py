"""Stored arrays that can be sliced, such as those of HDF5 and Zarr."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from skvit._images._convert import to_images
from skvit._images._forms import check_unmasked
from skvit._images._options import ReadOptions
from skvit._images._resize import Size, resize_image, resized_dtype
from skvit._images._shape import find_rows, find_stack
from skvit._images._spec import ImageSpec

_FLOAT32_MAX = float(np.finfo(np.float32).max)


def is_dataset(X: Any) -> bool:
    """Say whether X is a stored array: shape, type and slices, but no array itself."""
    if isinstance(X, np.ndarray) or hasattr(X, "columns") or hasattr(X, "tocoo"):
        return False
    if hasattr(X, "__array_namespace__") or hasattr(X, "detach"):
        return False
    is_sliceable = hasattr(X, "dtype") and hasattr(X, "__getitem__")
    return is_sliceable and len(getattr(X, "shape", ())) in {2, 3, 4}


def check_values(values: np.ndarray, name: str) -> np.ndarray:
    """Return numbers that training can hold.

    Raises
    ------
    ValueError
        If some are missing, infinite, or beyond the range of float32.
    """
    if values.dtype.kind != "f":
        return values
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinity.")
    if values.dtype.itemsize > 4 and np.abs(values).max(initial=0) > _FLOAT32_MAX:
        raise ValueError(
            f"{name} has values beyond the range of float32 ({_FLOAT32_MAX:.3g}). "
            "Scale them."
        )
    return values


def open_dataset(
    X: Any,
    channels: str,
    options: ReadOptions,
    declared: ImageSpec | None,
    fitted: ImageSpec | None,
    source: str,
) -> "SlicedReader":
    """Return a reader of a stored array.

    Parameters
    ----------
    X : object with a shape, a dtype and slices
        Images in any form that an array of two to four axes can have.
    channels : {"auto", "first", "last"}
        Where they have their channels.
    options : ReadOptions
        The size to bring images to that do not come in flat rows.
    declared, fitted : ImageSpec or None
        What the images must be, if that is known.
    source : str
        Who says so, for the message.

    Returns
    -------
    SlicedReader
        A reader, which has read nothing yet.

    Raises
    ------
    TypeError
        If the array does not hold real numbers.
    ValueError
        If it is empty, its form cannot be told, or is not that of the known images.
    """
    if 0 in X.shape:
        raise ValueError(f"X is a stored array of shape {X.shape}, which is empty.")
    known = declared or fitted
    if len(X.shape) == 2:
        return SlicedReader(X, find_rows(X.shape[1], declared, fitted))
    if options.size is None:
        return SlicedReader(X, find_stack(X.shape, channels, known, source))
    stored = find_stack(X.shape, channels, None, "")
    reader = SlicedReader(X, stored, options.size, options.aspect)
    if known is not None and known.shape != reader.spec.shape:
        raise ValueError(f"X becomes images of {reader.spec}, but {source} {known}.")
    return reader


class SlicedReader:
    """Read the images of a stored array by slices of consecutive rows.

    Parameters
    ----------
    dataset : ndarray or object with a shape, a dtype and slices
        The array, which need not know how to index with arrays.
    stored : ImageSpec
        What one image is, in the form in which it is stored.
    size : tuple of int or None, default=None
        Height and width that images are brought to.
    aspect : {"pad", "stretch"}, default="pad"
        What happens where the sides have another proportion.

    Raises
    ------
    TypeError
        If the array does not hold real numbers.
    """

    def __init__(
        self,
        dataset: Any,
        stored: ImageSpec,
        size: Size | None = None,
        aspect: str = "pad",
    ):
        dtype = np.dtype(dataset.dtype)
        if dtype.kind not in "biuf":
            raise TypeError(
                f"X is a stored array of dtype {dtype}, not of real numbers."
            )
        self.dtype = dtype if size is None else resized_dtype(dtype)
        self.dataset = dataset
        self.stored = stored
        self.size = size
        self.aspect = aspect
        self.spec = stored if size is None else ImageSpec(*size, stored.channels)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of some rows, channels last.

        Raises
        ------
        ValueError
            If values of a stored array are missing, infinite or too large.
        """
        images = to_images(self._slice(rows), self.stored)
        if self.size is None:
            return images
        return np.stack([resize_image(i, self.size, self.aspect) for i in images])

    def _slice(self, rows: np.ndarray) -> np.ndarray:
        """Return the values of some rows as they are stored.

        Raises
        ------
        ValueError
            If some cannot train. Those of an array in memory were checked before.
        """
        if isinstance(self.dataset, np.ndarray):
            return self.dataset[rows]
        name = f"X, between its rows {rows.min()} and {rows.max()},"
        order = np.unique(rows, return_inverse=True)
        runs = (self.dataset[run] for run in consecutive(order[0]))
        parts = [np.asarray(check_unmasked(run, name)) for run in runs]
        return check_values(np.concatenate(parts)[order[1]], name)

    def expect(self, rows: np.ndarray) -> None:
        """Leave reading ahead to the system that stores the array."""

    def unreadable(self) -> list[tuple[int, str, str]]:
        """Say that there are no rows that could be left out."""
        return []


def consecutive(rows: np.ndarray) -> Iterator[slice]:
    """Yield slices that cover increasing rows, each without a gap."""
    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(rows, ends):
        yield slice(int(run[0]), int(run[-1]) + 1)
