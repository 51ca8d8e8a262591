"""Images that are read when they are asked for, a batch at a time."""

from math import prod
from numbers import Integral
from typing import Any, Protocol

import numpy as np

from skvit._images._datasets import SlicedReader
from skvit._images._spec import ImageSpec


class ImageReader(Protocol):
    """Where images come from."""

    spec: ImageSpec
    dtype: np.dtype

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of some rows, channels last."""

    def expect(self, rows: np.ndarray) -> None:
        """Begin to read what `read` will soon be asked for."""

    def unreadable(self) -> list[tuple[int, str, str]]:
        """Try all rows; return row, path and reason of each that cannot be read."""


class LazyImages:
    """Look like an array of images, of which only batches are ever in memory.

    Parameters
    ----------
    reader : ImageReader
        Where the images come from.
    rows : ndarray of shape (n_samples,)
        The reader's row of each image.
    """

    ndim = 4

    def __init__(self, reader: ImageReader, rows: np.ndarray):
        self.reader = reader
        self.rows = rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of images, height, width and channels."""
        return len(self.rows), *self.reader.spec.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return self.reader.dtype

    @property
    def nbytes(self) -> int:
        """Size of all images, were they in memory."""
        return prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Read one image, or those of a slice or an array of indices.

        After a slice, the next one of the same length is expected.
        """
        if isinstance(index, Integral):
            return self.reader.read(self.rows[[int(index)]])[0]
        images = self.reader.read(self.rows[index])
        if isinstance(index, slice) and index.step is None and index.stop is not None:
            self.expect(slice(index.stop, 2 * index.stop - (index.start or 0)))
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all images.

        Raises
        ------
        ValueError
            If they are not to be copied into memory.
        """
        if copy is False:
            raise ValueError("Images that are read cannot be an array without a copy.")
        return self[:].astype(dtype or self.dtype, copy=False)

    def expect(self, index: Any) -> None:
        """Begin to read images in the background."""
        self.reader.expect(self.rows[index])

    def unreadable(self) -> list[tuple[int, str, str]]:
        """Return row, path and reason of each image that cannot be read."""
        return self.reader.unreadable()

    def select(self, index: Any) -> "LazyImages":
        """Return some of the images, unread."""
        return LazyImages(self.reader, self.rows[index])


def select_images(images: Any, index: Any) -> Any:
    """Return some of the images without reading or copying any.

    Parameters
    ----------
    images : ndarray or LazyImages
        Images, channels last, or sequences of patches.
    index : ndarray or slice
        Which of them.

    Returns
    -------
    ndarray or LazyImages
        A lazy one for images; the rows themselves for sequences and for slices.
    """
    if isinstance(images, LazyImages):
        return images.select(index)
    if images.ndim == 4 and not isinstance(index, slice):
        spec = ImageSpec(*images.shape[1:])
        return LazyImages(SlicedReader(images, spec), np.arange(len(images))[index])
    return images[index]
