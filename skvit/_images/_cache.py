"""Decoded images, kept."""

import tempfile
from math import prod
from os import PathLike
from pathlib import Path
from threading import Lock

import numpy as np


class DecodedCache:
    """Keep the first images, as many as fit, of one shape and type.

    Which ones are kept does not change, so that each lies at its own row.

    Parameters
    ----------
    n_images : int
        Number of all images.
    room : int, str or path
        Memory in bytes; or a directory, where all images are kept in a file without a
        name, which is gone when the cache is.

    Raises
    ------
    ValueError
        If the directory does not exist.
    """

    def __init__(self, n_images: int, room: int | str | PathLike):
        if isinstance(room, str | PathLike) and not Path(room).is_dir():
            raise ValueError(f"`cache`={room!r} is not an existing directory.")
        self._room = room
        self._images: np.ndarray = np.empty(0, np.uint8)  # of no shape yet
        self._held = np.zeros(n_images, dtype=bool)
        self._lock = Lock()

    def settle(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Make room for images of a shape and type, and forget all others."""
        if self._takes(shape, dtype):
            return
        self._held[:] = False
        n_images, size = len(self._held), prod(shape) * dtype.itemsize
        if isinstance(self._room, str | PathLike):
            with tempfile.TemporaryFile(dir=str(self._room), prefix="skvit-") as file:
                self._images = np.memmap(file, dtype, "w+", shape=(n_images, *shape))
        else:
            # Memory is taken only when an image is written to it.
            n_images = min(n_images, self._room // size)
            self._images = np.empty((n_images, *shape), dtype)

    def _takes(self, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Say whether the images kept are of that shape and type."""
        return self._images.shape[1:] == shape and self._images.dtype == dtype

    def wants(self, row: int, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Say whether an image would be kept; the first one asked for decides."""
        if self._images.ndim == 1:
            with self._lock:
                if self._images.ndim == 1:
                    self.settle(shape, dtype)
        return row < len(self._images) and self._takes(shape, dtype)

    def holds(self, rows: np.ndarray) -> np.ndarray:
        """Say of each row whether its image is here."""
        return self._held[rows]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of rows that are here."""
        return self._images[rows]

    def put(self, row: int, image: np.ndarray) -> None:
        """Keep an image if there is room for its row."""
        if self.wants(row, image.shape, image.dtype):
            self._images[row] = image
            self._held[row] = True
