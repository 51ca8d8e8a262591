"""Decoded images, kept."""

import tempfile
from math import prod
from os import PathLike

import numpy as np


class DecodedCache:
    """Keep the first images, as many as fit.

    Which ones are kept does not change, so that each lies at its own row.

    Parameters
    ----------
    n_images : int
        Number of all images.
    image_shape : tuple of int
        Height, width and channels.
    dtype : dtype
        Type of the numbers.
    room : int, str or path
        Memory in bytes; or a directory, where all images are kept in a file without a
        name, which is gone when the cache is.
    """

    def __init__(
        self,
        n_images: int,
        image_shape: tuple[int, ...],
        dtype: np.dtype,
        room: int | str | PathLike,
    ):
        size = prod(image_shape) * dtype.itemsize
        if isinstance(room, str | PathLike):
            with tempfile.TemporaryFile(dir=str(room), prefix="skvit-") as file:
                self._images: np.ndarray = np.memmap(
                    file, dtype, "w+", shape=(n_images, *image_shape)
                )
        else:
            # Memory is taken only when an image is written to it.
            self._images = np.empty((min(n_images, room // size), *image_shape), dtype)
        self._held = np.zeros(n_images, dtype=bool)

    def holds(self, rows: np.ndarray) -> np.ndarray:
        """Say of each row whether its image is here."""
        return self._held[rows]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of rows that are here."""
        return self._images[rows]

    def put(self, row: int, image: np.ndarray) -> None:
        """Keep an image if there is room for its row."""
        if row < len(self._images):
            self._images[row] = image
            self._held[row] = True
